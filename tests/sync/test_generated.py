"""The generated files are what the generator makes of the async side now, and it makes of it what is documented."""

import ast
import inspect
import re
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gateway_async.client
import gateway_async.fluent
import gateway_sync.client
import gateway_sync.fluent
from gateway_async import AsyncGatewayClient, AsyncStream
from gateway_sync import MlflowGatewayClient, SyncStream
from gateway_sync._generate import MARK, NAMES, SPECIAL, TARGETS, WORDS, Refused, generate, main

ROOT = Path(__file__).parents[2]
DOCUMENTED = ROOT.parent / "shared" / "contract" / "documented-api.txt"

CLIENT, FLUENT = TARGETS


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the async sources only."""
    for folder in "gateway_async", "gateway_sync":
        (tmp_path / folder).mkdir()
    for target in TARGETS:
        (tmp_path / target.source).write_bytes((ROOT / target.source).read_bytes())
    return tmp_path


def client_with(member: str) -> str:
    """An async client with one member."""
    return f'class AsyncGatewayClient:\n    """A client."""\n\n{member}\n'


# In step


def test_the_generated_files_are_in_step() -> None:
    """`python -m gateway_sync._generate` would change nothing."""
    assert main(["--check"]) == 0


def test_what_is_generated_passes_the_check(checkout: Path) -> None:
    """From nothing, and over what is there."""
    for _ in range(2):
        assert main([], checkout) == 0
        assert main(["--check"], checkout) == 0


def test_the_check_names_what_is_missing_or_changed(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By one byte, also within a comment."""
    main([], checkout)
    (checkout / CLIENT.path).unlink()
    with (checkout / FLUENT.path).open("ab") as file:
        file.write(b"\n")

    assert main(["--check"], checkout) == 1

    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == [CLIENT.path, FLUENT.path]
    assert all(line.endswith("python -m gateway_sync._generate") for line in lines)


def test_the_check_finds_what_has_no_source(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was generated once, from what is generated no more."""
    main([], checkout)
    (checkout / "gateway_sync" / "old.py").write_text(
        f"{MARK} from gateway_async/old.py: …\n", encoding="utf-8"
    )
    (checkout / "gateway_sync" / "written.py").write_text('"""Written by a person."""\n', encoding="utf-8")

    (checkout / FLUENT.source).unlink()

    assert main(["--check"], checkout) == 1

    said = capsys.readouterr().err
    assert "gateway_sync/old.py is generated from nothing any more" in said
    assert f"from {FLUENT.source}, which is not there" in said
    assert "written.py" not in said


def test_the_header_says_where_from_and_how() -> None:
    """Whoever opens the file to edit it learns what to edit, and what to run."""
    for target in TARGETS:
        first = (ROOT / target.path).read_text(encoding="utf-8").splitlines()[0]
        assert "python -m gateway_sync._generate" in first
        assert target.source in first


# Refusals


METHODS = {
    "has no docstring": "    async def query(self) -> str:\n        return 'x'",
    "has no return type": '    async def query(self):\n        """The answer."""',
    "the type AsyncIterator[str] has no blocking form": (
        '    def each(self) -> AsyncIterator[str]:\n        """Each."""'
    ),
    "the type Callable[[], Awaitable[str]] has no blocking form": (
        '    async def wait(self, hook: Callable[[], Awaitable[str]]) -> None:\n        """Wait."""'
    ),
    "the type Coroutine[Any, Any, str] has no blocking form": (
        '    def later(self) -> Coroutine[Any, Any, str]:\n        """Later."""'
    ),
    "takes *, ** or /": '    async def query(self, *routes: str) -> str:\n        """The answer."""',
    "is decorated with ['cache']": '    @cache\n    async def query(self) -> str:\n        """The answer."""',
    "__len__ is not known here": '    def __len__(self) -> int:\n        """How many."""',
    "Assign in a class is not known here": "    routes = ()",
    "the docstring of query says 'await'": (
        '    async def query(self) -> str:\n        """The answer; await it."""'
    ),
}


@pytest.mark.parametrize("problem", METHODS)
def test_a_method_that_it_does_not_know_stops_it(problem: str) -> None:
    """The message names file, line and problem."""
    with pytest.raises(Refused, match=r"^gateway_async/client\.py:\d+: ") as refused:
        generate(client_with(METHODS[problem]), CLIENT)

    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('class Other:\n    """Another."""\n', "Other is not known here"),
        ('def helper(x: int):\n    """Help."""\n', "helper has no return type"),
        ("LIMIT = 3\n", "LIMIT is not known here"),
        ("for _ in (): pass\n", "For is not known here"),
        (
            'async def wait() -> None:\n    """Wait."""\n    async with _client() as c:\n        pass\n',
            "wait does what has no blocking form",
        ),
    ],
)
def test_a_statement_that_it_does_not_know_stops_it(source: str, problem: str) -> None:
    """What is public is translated, or refused; never left out."""
    with pytest.raises(Refused, match=problem):
        generate(source, FLUENT)


def test_what_is_private_stays_on_the_async_side() -> None:
    """Helpers of the async client are none of the blocking one's."""
    helpers = client_with("    def _help(self) -> None: ...") + "\n\n_X = 1\n\n\ndef _f(): ...\n"
    text = generate(helpers, CLIENT)

    assert "_help" not in text
    assert "_X" not in text
    assert "_f" not in text


def test_every_phrase_that_is_worded_otherwise_still_occurs() -> None:
    """Else the docstring has changed, and nobody has looked at what the blocking side must say."""
    sources = "".join((ROOT / target.source).read_text(encoding="utf-8") for target in TARGETS)

    assert [phrase for phrase in WORDS if phrase not in sources] == []


# What comes out


def public(thing: Any) -> list[str]:
    """The public names of a class or a module, in order."""
    names = getattr(thing, "__all__", None) or vars(thing)
    return [name for name in names if not name.startswith("_") or name in SPECIAL]


def plain(annotation: Any) -> Any:
    """A type of the async side, as it is on this one."""
    if typing.get_origin(annotation) is AsyncStream:
        return SyncStream[typing.get_args(annotation)]  # type: ignore[misc]  # mypy wants to know them beforehand
    return annotation


def signature(function: Any) -> inspect.Signature:
    """A function's signature, in the blocking side's types."""
    found = inspect.signature(function)
    return found.replace(return_annotation=plain(found.return_annotation))


def test_the_client_has_the_async_clients_methods_in_order() -> None:
    """None is missing, none is more."""
    expected = [
        NAMES.get(name, name) for name in public(AsyncGatewayClient) if SPECIAL.get(name, "") is not None
    ]

    assert [name for name in vars(MlflowGatewayClient) if name in expected] == expected
    assert set(public(MlflowGatewayClient)) <= set(expected)


@pytest.mark.parametrize(
    ("there", "here"),
    [(AsyncGatewayClient, MlflowGatewayClient), (gateway_async.fluent, gateway_sync.fluent)],
    ids=["client", "functions"],
)
def test_signatures_are_the_async_ones(there: type | ModuleType, here: type | ModuleType) -> None:
    """Parameters, defaults and types, one by one; streams are the blocking ones."""
    for name in public(there):
        if SPECIAL.get(name, "") is None:
            continue
        theirs, ours = (
            getattr(each, NAMES.get(name, name) if each is here else name) for each in (there, here)
        )
        if callable(theirs):
            assert signature(ours) == signature(theirs), name
        assert not inspect.iscoroutinefunction(ours), name
    assert inspect.signature(MlflowGatewayClient) == inspect.signature(AsyncGatewayClient)


def test_no_docstring_speaks_of_what_is_not_there() -> None:
    """Every public thing has one, and none says `await`."""
    for target in TARGETS:
        text = (ROOT / target.path).read_text(encoding="utf-8")
        nodes = [
            node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        for node in nodes:
            doc = ast.get_docstring(node)
            assert doc or node.name.startswith("__"), node.name
            assert not re.search(r"\bawait|\baclose|async with|AsyncStream|AsyncGateway", doc or ""), (
                node.name
            )


# What is documented


@pytest.mark.skipif(not DOCUMENTED.exists(), reason="the documented pages are not beside this checkout")
def test_signatures_are_the_documented_ones() -> None:
    """Every function and method of the pages, with the parameters and defaults that they list."""
    found: dict[str, list[str]] = {"class": [], "function": []}
    for line in DOCUMENTED.read_text(encoding="utf-8").splitlines():
        listed = re.match(r"(class )?(mlflow\.gateway\.(?:client\.)?)?(\w+)(\(.*\)).*\[source\]$", line)
        if line.startswith("class mlflow.gateway.config"):
            break
        if listed is None:
            continue
        is_class, module, name, parameters = listed.groups()
        holder = gateway_sync if module else MlflowGatewayClient
        theirs = [arg.arg for arg in ast.parse(f"def f{parameters}: ...").body[0].args.args]  # type: ignore[attr-defined]
        ours = inspect.signature(getattr(holder, name)).parameters
        asked = [
            each.name for each in ours.values() if each.kind is not each.KEYWORD_ONLY and each.name != "self"
        ]
        assert asked == theirs, line
        optional = [each for each in asked if ours[each].default is None]
        assert len(optional) == parameters.count("= None"), line
        found["function" if module and not is_class else "class"].append(name)

    assert set(found["function"]) == set(public(gateway_sync.fluent)) - {"stream", "update_route"}
    assert {"MlflowGatewayClient", "query", "get_route", "set_limits"} <= set(found["class"])
