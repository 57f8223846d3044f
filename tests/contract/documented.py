"""The documented pages, read: every class, function, method, field and member that they list.

A page is Sphinx's rendering as text. A thing begins with a line that ends in `[source]` (`class a.b.C(…)[source]`,
`a.b.f(…)type[source]`, `classmethod m(…)[source]`), or is `property p`, `NAME = 'value'`, `field: type`,
`model_config: ClassVar[ConfigDict] = {…}` or `model_fields: … = {…}`.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "contract"
REFERENCE = SHARED / "documented-api.txt"
FLUENT_SOURCE = SHARED / "documented-fluent-module.txt"


@dataclass(frozen=True)
class Parameter:
    """A parameter: source texts of its annotation and its default, None where there is none."""

    name: str
    kind: str
    annotation: str | None
    default: str | None


@dataclass
class Callable:
    """A function, a method, or what a class is called with."""

    parameters: list[Parameter]
    returns: str | None = None
    is_classmethod: bool = False


@dataclass
class Field:
    """A field of a model, as `model_fields` lists it."""

    required: bool
    default: str | None = None
    alias: str | None = None


@dataclass
class Class:
    """A class and what stands in it."""

    name: str
    init: Callable | None
    methods: dict[str, Callable] = field(default_factory=dict)
    properties: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Field] | None = None
    settings: dict[str, object] | None = None
    members: dict[str, str] = field(default_factory=dict)
    nested: dict[str, dict[str, object]] = field(default_factory=dict)


@dataclass
class Pages:
    """All that is documented, by its full name."""

    classes: dict[str, Class] = field(default_factory=dict)
    functions: dict[str, Callable] = field(default_factory=dict)


_SOURCE = re.compile(
    r"(?P<what>class |classmethod )?(?P<name>[\w.]+)(?P<arguments>\(.*?\))?(?P<returns>[^()]*)\[source\]"
)
_MEMBER = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*) = '(?P<value>[^']*)'")
_ANNOTATION = re.compile(
    r"(?P<name>[a-z_]\w*): (?P<type>(Optional|Union|List|Dict|str|int|bool|float|mlflow)\b.*)"
)
_ENUM_DEFAULT = re.compile(r"<(\w+\.\w+): '[^']*'>")


def read_reference(text: str) -> Pages:
    """What the reference page lists."""
    pages = Pages()
    cls: Class | None = None
    inner: str | None = None
    for line in text.splitlines():
        if found := _SOURCE.fullmatch(line):
            inner = None
            what, name, arguments = found["what"], found["name"], found["arguments"]
            if what == "class " and "." not in name:
                assert cls is not None
                inner, cls.nested[name] = name, {}
            elif what == "class ":
                cls = Class(name, _callable(arguments, None) if arguments else None)
                pages.classes[name] = cls
            elif "." in name:
                cls, pages.functions[name] = None, _callable(arguments, found["returns"])
            else:
                assert cls is not None, f"a method outside a class: {line}"
                cls.methods[name] = _callable(arguments, found["returns"])
                cls.methods[name].is_classmethod = what == "classmethod "
        elif cls is not None:
            inner = _read_member(cls, inner, line)
    return pages


def _read_member(cls: Class, inner: str | None, line: str) -> str | None:
    if line.startswith("property "):
        cls.properties.append(line.removeprefix("property "))
    elif line.startswith("model_config: "):
        cls.settings = ast.literal_eval(line.partition(" = ")[2])
    elif line.startswith("model_fields: "):
        cls.fields = _fields(line.partition(" = ")[2])
    elif found := _MEMBER.fullmatch(line):
        cls.members[found["name"]] = found["value"]
    elif inner is not None and " = {" in line:
        name, _, value = line.partition(" = ")
        cls.nested[inner][name] = ast.literal_eval(value)
        return None
    elif found := _ANNOTATION.fullmatch(line):
        cls.annotations[found["name"]] = found["type"]
    return inner


def read_fluent_source(text: str) -> Pages:
    """What the page with the source of the fluent functions defines. Its indentation is lost: only `def` lines count."""
    pages = Pages()
    for found in re.finditer(
        r"^\[docs\][^\n]*\n(def (\w+)\((.*?)\)(?: -> (.*?))?:)$", text, re.DOTALL | re.MULTILINE
    ):
        pages.functions[f"mlflow.gateway.{found[2]}"] = _callable(f"({found[3]})", found[4])
    return pages


def _callable(arguments: str, returns: str | None) -> Callable:
    source = _ENUM_DEFAULT.sub(r"\1", f"def f{arguments}: ...")
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    args = definition.args
    assert (args.posonlyargs, args.vararg, args.kwarg) == ([], None, None)
    defaults = [None] * (len(args.args) - len(args.defaults)) + list(args.defaults)
    parameters = [_parameter(a, "POSITIONAL_OR_KEYWORD", d) for a, d in zip(args.args, defaults, strict=True)]
    parameters += [
        _parameter(a, "KEYWORD_ONLY", d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return Callable(parameters, returns or None)


def _parameter(arg: ast.arg, kind: str, default: ast.expr | None) -> Parameter:
    annotation = None if arg.annotation is None else ast.unparse(arg.annotation)
    return Parameter(arg.arg, kind, annotation, None if default is None else ast.unparse(default))


def _fields(source: str) -> dict[str, Field]:
    expression = ast.parse(_ENUM_DEFAULT.sub(r"\1", source), mode="eval").body
    assert isinstance(expression, ast.Dict)
    found: dict[str, Field] = {}
    for key, call in zip(expression.keys, expression.values, strict=True):
        assert isinstance(key, ast.Constant)
        assert isinstance(call, ast.Call)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        alias = given.get("alias")
        found[str(key.value)] = Field(
            given["required"] == "True",
            given.get("default"),
            None if alias is None else ast.literal_eval(alias),
        )
    return found


def examples(call: str, *, fluent: bool) -> list[str]:
    """The programs that the reference page shows of a call, of the client or of the module's function.

    A program begins with its import, and ends where the page goes on with what it lists next.
    """
    found: list[str] = []
    lines: list[str] | None = None
    for line in REFERENCE.read_text("utf-8").splitlines():
        if line.startswith("from mlflow.gateway import "):
            lines = [line]
        elif lines is not None and (_SOURCE.fullmatch(line) or line.startswith("property ")):
            found.append("\n".join(lines))
            lines = None
        elif lines is not None:
            lines.append(line)
    called = f"\n{call}(" if fluent else f"gateway_client.{call}("
    wanted = sorted({program for program in found if called in program})
    assert wanted, f"the page has no example of {call}"
    return wanted
