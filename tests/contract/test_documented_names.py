"""Every name, parameter, default, field and member of the documented pages is here, and equal.

The pages are read mechanically (`documented`). What is not equal stands in `OURS`, with the reason; nothing else may
differ, also not by addition.
"""

import importlib
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tests.contract import documented
from tests.contract.documented import Callable, Class, Pages

if not documented.REFERENCE.exists():
    pytest.skip("the documented pages are not beside this checkout", allow_module_level=True)

PAGES = documented.read_reference(documented.REFERENCE.read_text("utf-8"))
FLUENT = documented.read_fluent_source(documented.FLUENT_SOURCE.read_text("utf-8"))

Package = Literal["gateway_async", "gateway_sync"]
PACKAGES: tuple[Package, ...] = ("gateway_async", "gateway_sync")

_BASE_ADDRESS = "CONTRACT.md, providers: 'an optional base address in its config'"

OURS: Mapping[str, tuple[frozenset[str], str]] = {
    "client.MlflowGatewayClient": (
        frozenset({"api_key", "timeout", "max_retries", "http_client"}),
        "CONTRACT.md, client: timeout and retries; issue 2: a bearer token, the caller's own httpx client",
    ),
    "config.Provider": (frozenset({"GEMINI"}), "CONTRACT.md, providers: gemini, from newer pages"),
    "config.GatewayConfig": (
        frozenset({"server", "store", "counters", "keys", "upstream"}),
        "CONTRACT.md, configuration, ours",
    ),
    "config.RouteConfig": (
        frozenset(
            {
                *("timeouts", "drop_unsupported", "limits", "on_store_failure"),
                *("destinations", "balance", "fallback_on", "retry", "breaker", "concurrency"),
            }
        ),
        "CONTRACT.md, configuration, ours",
    ),
    "config.Route": (
        frozenset({"destinations"}),
        "issue 5: what answers where there are several; JSON of other routes has no such key",
    ),
    "config.Limit": (frozenset({"tokens"}), "issue 4: tokens beside calls"),
    "config.AI21LabsConfig": (frozenset({"ai21labs_api_base"}), _BASE_ADDRESS),
    "config.AmazonBedrockConfig": (frozenset({"bedrock_api_base"}), _BASE_ADDRESS),
    "config.AnthropicConfig": (frozenset({"anthropic_api_base"}), _BASE_ADDRESS),
    "config.CohereConfig": (frozenset({"cohere_api_base"}), _BASE_ADDRESS),
    "config.MistralConfig": (frozenset({"mistral_api_base"}), _BASE_ADDRESS),
    "config.PaLMConfig": (frozenset({"palm_api_base"}), _BASE_ADDRESS),
    "config.TogetherAIConfig": (frozenset({"togetherai_api_base"}), _BASE_ADDRESS),
}
"""Where we deliberately have more: what, and which rule says so. All of it is optional to whoever knows the pages."""

RENAMED = {"gateway_async": {"MlflowGatewayClient": "AsyncGatewayClient"}, "gateway_sync": {}}
"""CONTRACT.md, names: the async client has a name of its own; `gateway_sync` has the documented one."""

MODEL_DEFAULTS = {"extra": "ignore", "populate_by_name": False}
"""What pydantic does where a model's settings do not say."""


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Package:
    """The package whose names are compared."""
    found: Package = request.param
    return found


def short(name: str) -> str:
    """`mlflow.gateway.config.Route` → `config.Route`."""
    return name.removeprefix("mlflow.gateway.")


def ours(package: str, name: str) -> Any:
    """Our thing for a documented name."""
    *modules, last = name.split(".")
    assert modules[:2] == ["mlflow", "gateway"]
    module = importlib.import_module(".".join([package, *modules[2:]]))
    return getattr(module, RENAMED[package].get(last, last))


def added(name: str) -> frozenset[str]:
    """What `OURS` lets us add to a documented thing."""
    key = "client.MlflowGatewayClient" if name.endswith("MlflowGatewayClient") else short(name)
    return OURS[key][0] if key in OURS else frozenset()


def the_type(package: str, source: str) -> Any:
    """A documented annotation, as our types."""
    source = source.replace(
        "mlflow.gateway.base_models.ConfigModel[mlflow.gateway.base_models.ConfigModel]", "ConfigModel"
    )
    names: dict[str, Any] = {
        name: getattr(typing, name) for name in ("Any", "Dict", "List", "Optional", "Union")
    }
    names["ConfigModel"] = ours(package, "mlflow.gateway.base_models.ConfigModel")
    names["PagedList"] = importlib.import_module("gateway_async.paging").PagedList
    for documented_name in PAGES.classes:
        if ".config." in documented_name:
            last = documented_name.rpartition(".")[2]
            source = source.replace(documented_name, last)
            names[last] = ours(package, documented_name)
    return eval(source, names)


def plain(kind: Any) -> Any:
    """A type in one spelling: unions are sets, `List[int]` is `list[int]`, `Annotated` is gone."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return plain(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return frozenset(plain(argument) for argument in arguments)
    if origin is not None:
        return (origin, *(plain(argument) for argument in arguments))
    return type(None) if kind is None else kind


def written(annotation: Any, call: Any) -> Any:
    """Our annotation in the same spelling, also where it is written as a string."""
    if isinstance(annotation, str):
        annotation = eval(annotation, vars(inspect.getmodule(call)))
    return plain(annotation)


def differences(package: str, name: str, page: Callable, call: Any) -> Iterator[str]:
    """How a callable of ours differs from the documented one."""
    signature = inspect.signature(call)
    mine = {k: p for k, p in signature.parameters.items() if k != "self"}
    listed = [p.name for p in page.parameters]
    extra = set(mine) - set(listed)
    if extra != added(name):
        yield f"{name}: has {sorted(extra)} beyond the documented, and {sorted(added(name))} are agreed on"
    for new in extra & added(name):
        if (
            mine[new].kind is not inspect.Parameter.KEYWORD_ONLY
            or mine[new].default is inspect.Parameter.empty
        ):
            yield f"{name}({new}): what is ours is a keyword with a default"
    if [k for k in mine if k not in extra] != listed:
        yield f"{name}: parameters {[k for k in mine if k not in extra]}, documented {listed}"
        return
    for parameter in page.parameters:
        found = mine[parameter.name]
        where = f"{name}({parameter.name})"
        if found.kind.name != parameter.kind:
            yield f"{where}: is {found.kind.name}, documented {parameter.kind}"
        default = (
            inspect.Parameter.empty if parameter.default is None else the_type(package, parameter.default)
        )
        if found.default != default:
            yield f"{where}: default {found.default!r}, documented {parameter.default}"
        if parameter.annotation and written(found.annotation, call) != plain(
            the_type(package, parameter.annotation)
        ):
            yield f"{where}: {found.annotation}, documented {parameter.annotation}"
    if page.returns and written(signature.return_annotation, call) != plain(the_type(package, page.returns)):
        yield f"{name}: gives {signature.return_annotation}, documented {page.returns}"


def class_differences(package: str, page: Class, mine: Any) -> Iterator[str]:
    """How a class of ours differs from the documented one, its fields and members excepted."""
    if page.init is not None and not issubclass(mine, Enum):
        yield from differences(package, page.name, page.init, mine)
    for name, method in page.methods.items():
        where = f"{page.name}.{name}"
        found = inspect.getattr_static(mine, name, None)
        if found is None:
            yield f"{where} is missing"
            continue
        if method.is_classmethod != inspect.ismethod(getattr(mine, name)):
            yield f"{where}: a classmethod in one and not in the other"
        yield from differences(package, where, method, getattr(mine, name))
    for name in page.properties:
        if not isinstance(inspect.getattr_static(mine, name, None), property):
            yield f"{page.name}.{name} is no property"
    for name, values in page.nested.items():
        for key, value in values.items():
            if getattr(getattr(mine, name, None), key, None) != value:
                yield f"{page.name}.{name}.{key} differs"


def field_differences(package: str, page: Class, mine: type[BaseModel]) -> Iterator[str]:
    """How the fields of a model of ours differ from the documented ones."""
    assert page.fields is not None
    fields = mine.model_fields
    extra = fields.keys() - page.fields.keys()
    if {fields[name].alias or name for name in extra} != added(page.name):
        yield f"{page.name}: has the fields {sorted(extra)} beyond the documented"
    for new in extra:
        if mine.model_fields[new].is_required():
            yield f"{page.name}.{new}: ours, and required"
    hints = typing.get_type_hints(mine)
    for name, field in page.fields.items():
        where = f"{page.name}.{name}"
        if (found := mine.model_fields.get(name)) is None:
            yield f"{where} is missing"
            continue
        default = PydanticUndefined if field.default is None else the_type(package, field.default)
        if found.is_required() != field.required or found.default != default:
            yield f"{where}: default {found.default!r}, documented {field.default}"
        if found.alias != field.alias:
            yield f"{where}: alias {found.alias!r}, documented {field.alias!r}"
        if name in page.annotations and plain(hints[name]) != plain(
            the_type(package, page.annotations[name])
        ):
            yield f"{where}: {hints[name]}, documented {page.annotations[name]}"


def test_the_pages_are_read_whole() -> None:
    """A reader that understood nothing would find no difference."""
    reference = documented.REFERENCE.read_text("utf-8")

    assert len(PAGES.classes) == reference.count("\nclass mlflow.") == 29
    assert reference.count("[source]\n") + reference.endswith("[source]") == sum(
        [
            len(PAGES.classes),
            len(PAGES.functions),
            sum(len(page.methods) + len(page.nested) for page in PAGES.classes.values()),
        ]
    )
    assert set(PAGES.functions) == {
        *FLUENT.functions,
        *(f"mlflow.gateway.{verb}_gateway_uri" for verb in ("get", "set")),
    }
    assert sum(len(page.fields or ()) for page in PAGES.classes.values()) == reference.count("FieldInfo(")


@pytest.mark.parametrize("name", sorted(PAGES.classes), ids=short)
def test_a_documented_class_is_the_same_here(package: Package, name: str) -> None:
    """Constructor, methods, class methods, properties and nested names."""
    page = PAGES.classes[name]

    assert list(class_differences(package, page, ours(package, name))) == []


@pytest.mark.parametrize(
    "name", sorted(n for n, p in PAGES.classes.items() if p.fields is not None), ids=short
)
def test_a_documented_model_has_the_same_fields(package: Package, name: str) -> None:
    """Types, defaults, aliases, and which of them must be given."""
    page, mine = PAGES.classes[name], ours(package, name)
    assert page.settings is not None

    assert list(field_differences(package, page, mine)) == []
    assert {
        key: mine.model_config.get(key, MODEL_DEFAULTS.get(key)) for key in page.settings
    } == page.settings


@pytest.mark.parametrize("name", sorted(n for n, p in PAGES.classes.items() if p.members), ids=short)
def test_a_documented_enumeration_has_the_same_members(package: Package, name: str) -> None:
    """Names and values; a member is a string, as users compare it with one."""
    mine = ours(package, name)

    assert {m.name: m.value for m in mine if m.name not in added(name)} == PAGES.classes[name].members
    assert added(name) <= set(mine.__members__)
    assert issubclass(mine, str)


@pytest.mark.parametrize("pages", [PAGES, FLUENT], ids=["reference", "source"])
def test_the_documented_functions_are_the_same_here(package: Package, pages: Pages) -> None:
    """Coroutines in the one package, blocking in the other."""
    found = [
        difference
        for name, page in pages.functions.items()
        for difference in differences(package, name, page, ours(package, name))
    ]

    assert found == []


def test_calls_are_coroutines_in_one_package_and_block_in_the_other(package: Package) -> None:
    """What touches the network is awaited, what only reads an address is not."""
    names = [name for name in PAGES.functions if not name.endswith("_gateway_uri")]
    client = ours(package, "mlflow.gateway.client.MlflowGatewayClient")
    calls = [ours(package, name) for name in names]
    calls += [
        getattr(client, name) for name in PAGES.classes["mlflow.gateway.client.MlflowGatewayClient"].methods
    ]

    assert {inspect.iscoroutinefunction(call) for call in calls} == {package == "gateway_async"}
    assert not inspect.iscoroutinefunction(ours(package, "mlflow.gateway.set_gateway_uri"))


def test_the_documented_names_are_public(package: Package) -> None:
    """They are offered by name, not only found by accident."""
    offered = set(importlib.import_module(package).__all__)
    configuration = set(vars(importlib.import_module(f"{package}.config")))

    wanted = {name.rpartition(".")[2] for name in PAGES.functions} | {"MlflowException"}
    wanted.add(RENAMED[package].get("MlflowGatewayClient", "MlflowGatewayClient"))
    assert wanted - offered == set()
    assert {
        short(n).removeprefix("config.") for n in PAGES.classes if ".config." in n
    } - configuration == set()


def test_our_table_of_differences_is_in_use() -> None:
    """A line that nothing needs any more is a rule that nobody keeps."""
    documented_names = {short(name) for name in PAGES.classes} | {short(name) for name in PAGES.functions}

    assert set(OURS) - documented_names == set()
