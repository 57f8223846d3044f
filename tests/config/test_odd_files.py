"""Whatever a file holds: a configuration comes of it, or an error that a person can read. Nothing else."""

import random
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_async.config_file import DEEPEST, Document, load_config
from gateway_async.errors import ConfigError
from gateway_async.gateway import Gateway
from tests.config.conftest import Write

GOOD = "endpoints: [{name: a, endpoint_type: llm/v1/chat, model: {provider: offline}}]\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a mapping with 'endpoints:' is expected"),
        (b"\n\n# nothing\n", "a mapping with 'endpoints:' is expected"),
        (b"---\n", "a mapping with 'endpoints:' is expected"),
        (b"- name: chat\n", "a mapping with 'endpoints:' is expected"),
        (b"just text", "a mapping with 'endpoints:' is expected"),
        (b"5", "a mapping with 'endpoints:' is expected"),
        (b"{}", ":1: endpoints: this key is missing"),
        (b"endpoints:\n\t- name: a\n", ":2: this is not YAML: found character that cannot start any token"),
        (b"endpoints: [\n", "this is not YAML"),
        (b"endpoints: }\n", ":1: this is not YAML"),
        (b"a: b: c\n", ":1: this is not YAML"),
        (b"a: 1\n---\nb: 2\n", ":2: this is not YAML: but found another document"),
        (b"endpoints:\n", ":1: endpoints: Input should be a valid list"),
        (b"endpoints: null\n", ":1: endpoints: Input should be a valid list"),
        (b"endpoints: 5\n", ":1: endpoints: Input should be a valid list"),
        (b"endpoints: {a: b}\n", ":1: endpoints: Input should be a valid list"),
        (b"endpoints: [null]\n", ":1: endpoint 'number 1': "),
        (b"endpoints:\n  - 5\n  - [a]\n  - text\n", ":3: endpoint 'number 2': "),
        (b"endpoints: [[[{}]]]\n", ":1: endpoint 'number 1': "),
        (b"endpoints: [{name: a, model: [1, {}]}]\n", "endpoint 'a', model: "),
        (b"endpoints: [{name: {a: b}}]\n", "endpoint 'number 1', name: "),
        (b"endpoints: &a [*a]\n", "endpoint 'number 1': "),
        (b"endpoints:\n  - &a {name: *a}\n", "endpoint 'number 1', name: "),
        (b"endpoints: *nothing\n", ":1: this is not YAML: found undefined alias"),
        (b"endpoints: !!python/object/apply:os.system [id]\n", ":1: this is not YAML: could not determine a constructor"),
        (b"endpoints: 2024-13-45\n", "this is not YAML: month must be in 1..12"),
        (b"endpoints: !!timestamp soon\n", "this is not YAML: a value is not what its tag says"),
        (b"endpoints: !!bool maybe\n", "this is not YAML: a value is not what its tag says"),
        (b"endpoints: !!int ''\n", "this is not YAML: "),
        (b"endpoints: " + b"9" * 6000, "this is not YAML: "),
        (b"[a, b]: c\n", "this is not YAML: "),
        (b"endpoints: [{<<: 5}]\n", "this is not YAML: expected a mapping"),
        (b"\x00\x01\x02", "this is not YAML: unacceptable character"),
        (b"\x89PNG\r\n\x1a\n\xff\xd8", "can't be read: 'utf-8' codec"),
        ("endpoints: é".encode("latin-1"), "can't be read: 'utf-8' codec"),
        (GOOD.encode("utf-16"), "can't be read: 'utf-8' codec"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration_says_what_is_wrong(write: Write, content: bytes, said: str) -> None:
    """With the file's name and, where there is one, the line."""
    path = write(content)
    with pytest.raises(ConfigError) as error:
        load_config(path)

    assert said in error.value.message
    assert str(path) in error.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        b"%YAML 1.1\n---\n" + GOOD.encode() + b"...\n",
        b"1: one\n~: none\n2024-01-01: day\n1.5: x\ntrue: y\n" + GOOD.encode(),
        b"x: &x {provider: offline}\nendpoints: [{name: a, endpoint_type: llm/v1/chat, model: *x}]\n",
        b"x: &x {endpoint_type: llm/v1/chat, model: {provider: offline}}\nendpoints:\n  - {<<: *x, name: a}\n",
        b"&self endpoints: [{name: a, endpoint_type: llm/v1/chat, model: {provider: offline}}]\n",
        b'{"endpoints": [{"name": "a", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline"}}]}',
        "# 世界 🎉\n".encode() + GOOD.encode(),
    ],
)  # fmt: skip
def test_what_yaml_allows_loads(write: Write, content: bytes) -> None:
    """Marks at the start, line ends of Windows, keys that are no text, anchors and merges, JSON."""
    config = load_config(write(content))

    assert [route.name for route in config.routes] == ["a"]
    Document.read(write(content)).unknown_keys()


def test_no_endpoints_are_a_configuration(write: Write) -> None:
    """It serves nothing, and may get its routes later."""
    assert load_config(write("endpoints: []\n")).routes == []


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "a:\n"])
def test_nesting_without_end_is_refused(write: Write, opening: str) -> None:
    """libyaml would take the whole process down."""
    text = opening * 100_000 if opening != "a:\n" else "".join(" " * depth + "a:\n" for depth in range(500))
    with pytest.raises(ConfigError, match=f"more than {DEEPEST} levels of nesting"):
        load_config(write(text))


def test_a_bomb_of_aliases_is_no_bomb(write: Write) -> None:
    """Nine levels of ten references stand for a billion texts; they are read as references."""
    lines = ["a: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError) as error:
        load_config(write("\n".join([*lines, "endpoints: *a9"])))

    assert len(error.value.problems) == 10


def test_a_large_file_loads(write: Write) -> None:
    """Thousands of routes."""
    entries = "".join(
        f"  - {{name: r{n}, endpoint_type: llm/v1/chat, model: {{provider: offline}}}}\n" for n in range(3000)
    )

    assert len(load_config(write("endpoints:\n" + entries)).routes) == 3000


def test_a_large_file_that_is_wrong_everywhere_says_so_everywhere(write: Write) -> None:
    """In a time that a person waits."""
    entries = "".join(
        f"  - {{name: r{n}, endpoint_type: x, model: {{provider: offline}}}}\n" for n in range(1000)
    )
    with pytest.raises(ConfigError) as error:
        load_config(write("endpoints:\n" + entries))

    assert [problem["line"] for problem in error.value.problems] == list(range(2, 1002))


def check(source: Path | dict[Any, Any]) -> None:
    """Load a configuration in each way that the command line does; nothing but a configuration error may come out."""
    problems: list[dict[str, Any]] = []
    try:
        document = Document.read(source) if isinstance(source, Path) else Document("", source, None)
        document.unknown_keys()
        document.old_keys()
        Gateway(document.config())
    except ConfigError as error:
        problems = error.problems
    assert all(set(problem) == {"line", "endpoint", "key", "problem"} for problem in problems)


KEYS = st.sampled_from(
    [
        "endpoints",
        "routes",
        "name",
        "endpoint_type",
        "route_type",
        "model",
        "provider",
        "config",
        "limit",
        "calls",
        "renewal_period",
        "key",
        "timeouts",
        "total",
        "server",
        "openai_api_key",
        "openai_api_type",
        "aws_config",
        "other",
    ]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.binary(max_size=8),
    st.text(max_size=8),
    st.sampled_from(
        [
            "llm/v1/chat",
            "llm/v1/embeddings",
            "openai",
            "OpenAI",
            "bedrock",
            "offline",
            "minute",
            "$X",
            "azure",
        ]
    ),
)
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.integers() | st.none() | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "name": TREES,
        "endpoint_type": st.just("llm/v1/chat") | TREES,
        "route_type": TREES,
        "model": st.fixed_dictionaries(
            {
                "provider": st.sampled_from(
                    ["openai", "OPENAI", "bedrock", "offline", "mosaicml", "ai21labs"]
                )
                | TREES
            },
            optional={"name": TREES, "config": TREES},
        )
        | TREES,
        "limit": st.fixed_dictionaries({}, optional={"calls": TREES, "renewal_period": TREES, "key": TREES})
        | TREES,
        "timeouts": TREES,
    },
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.fixed_dictionaries(
        {}, optional={"endpoints": st.lists(ENTRIES, max_size=3) | TREES, "server": TREES}
    )
    | TREES
)
def test_any_tree_of_values_is_a_configuration_or_an_error(write: Write, data: Any) -> None:
    """Also from Python, where there is no YAML between."""
    check(write(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogateescape")))
    if isinstance(data, dict):
        check(data)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#?,~ \n\t0<=.", max_size=60).map(str.encode)
)
def test_any_bytes_are_a_configuration_or_an_error(write: Write, content: bytes) -> None:
    """Signs of YAML in any order, and no text at all."""
    check(write(content))


TAGS = st.sampled_from(
    ["int", "float", "bool", "null", "timestamp", "binary", "set", "omap", "pairs", "seq", "map"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(max_size=8), tag=TAGS)
def test_a_tag_that_does_not_fit_is_an_error(write: Write, value: str, tag: str) -> None:
    """Whatever it is put before."""
    check(
        write(
            f"endpoints: !!{tag} {yaml.safe_dump(value, default_style=chr(34))}".encode(
                "utf-8", "surrogateescape"
            )
        )
    )


def test_a_good_file_with_one_byte_changed_is_a_configuration_or_an_error(write: Write) -> None:
    """As a slip of a finger makes it."""
    generator = random.Random(7)
    text = "endpoints:\n  - name: a\n    endpoint_type: llm/v1/chat\n    model:\n      provider: offline\n      name: b\n"
    for _ in range(300):
        at = generator.randrange(len(text))
        check(write((text[:at] + generator.choice(string.printable) + text[at + 1 :]).encode()))
