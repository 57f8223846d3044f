"""The example of a plugin, installed as its users install it, in a gateway that runs; and the page about it."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from gateway_async.config_file import load_config
from tests.support.server import ROOT, Server, run_command, running, write_config
from tests.support.upstream import CUT, MockUpstream, Reply, json_reply

Json = dict[str, Any]

KEY = "key-canary-parrot"
HELLO: Json = {"messages": [{"role": "user", "content": "Hello"}]}
SAYS: Json = {"says": "Hello! Hello!", "why": "done", "words": {"heard": 1, "said": 2}}

FOLDER = Path(__file__).parent / "example_provider"
PAGE = ROOT / "docs" / "plugins.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def configuration(url: str, kind: str = "chat", **settings: Any) -> Json:
    """A configuration with one route to the parrots."""
    config = {"parrot_api_key": KEY, "parrot_api_base": f"{url}/v1", **settings}
    model = {"provider": "parrot", "name": "polly", "config": config}
    return {"name": kind, "endpoint_type": f"llm/v1/{kind}", "model": model}


@pytest.fixture(scope="module")
def server(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway with the example's routes."""
    endpoints = [configuration(shared_upstream.url, kind) for kind in ("chat", "completions")]
    endpoints.append({**endpoints[0], "name": "lenient", "drop_unsupported": True})
    with running(tmp_path_factory.mktemp("parrots"), {"endpoints": endpoints}) as server:
        yield server
    assert KEY not in server.log


def ask(server: Server, route: str, data: Json) -> Any:
    """The answer's status and body."""
    with server.client() as http:
        answer = http.post(f"/gateway/{route}/invocations", json=data)
    return answer.status_code, answer.json()


def test_the_example_is_installed() -> None:
    """As CI does it: `pip install -e tests/plugins/example_provider`."""
    assert "parrot" in entry_points(group="gateway.providers").names


def test_a_chat_goes_out_and_comes_back(server: Server, upstream: MockUpstream) -> None:
    """In the plugin's own format upstream, in the standard shape for the caller."""
    upstream.reply(json_reply(SAYS))

    status, answer = ask(server, "chat", {**HELLO, "max_tokens": 9, "temperature": 0.5, "colour": "green"})

    sent = upstream.request()
    assert (sent.path, sent.headers["x-parrot-key"]) == ("/v1/talk", KEY)
    assert sent.json == {
        "bird": "polly",
        "lines": [{"by": "user", "says": "Hello"}],
        "piecewise": False,
        "longest": 9,
        "loudness": 0.5,
        "colour": "green",
    }
    assert status == 200
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello! Hello!"}, "finish_reason": "stop"}
    ]
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def test_a_stream_reaches_openais_client(server: Server, upstream: MockUpstream) -> None:
    """Lines of JSON upstream, chunks for the caller, with the usage that it asks for."""
    lines = [{"piece": "Hello!"}, {"piece": " Hello!"}, {"why": "tired", "words": {"heard": 1, "said": 2}}]
    script = [json.dumps(line).encode() + b"\n" for line in lines]
    upstream.reply(Reply(content_type="application/x-ndjson", script=script))

    http = openai.DefaultHttpxClient(trust_env=False, timeout=20.0)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", http_client=http) as client:
        chunks = list(
            client.chat.completions.create(
                model="chat",
                messages=[{"role": "user", "content": "Hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )

    assert upstream.request().json["piecewise"] is True
    assert [chunk.choices[0].delta.content for chunk in chunks[:2]] == ["Hello!", " Hello!"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[2].choices[0].finish_reason == "length"
    assert chunks[3].usage is not None
    assert chunks[3].usage.total_tokens == 3


def test_a_stream_that_is_cut_is_an_error(server: Server, upstream: MockUpstream) -> None:
    """What it lacks is told within the stream."""
    upstream.reply(Reply(content_type="application/x-ndjson", script=[b'{"piece": "Hel"}\n', CUT]))

    with server.client() as http:
        text = http.post("/gateway/chat/invocations", json={**HELLO, "stream": True}).text

    assert '"Hel"' in text
    assert "broke" in text


def test_completions_are_served_by_the_chat(server: Server, upstream: MockUpstream) -> None:
    """The gateway's own help for models that only chat."""
    upstream.reply(json_reply(SAYS))

    status, answer = ask(server, "completions", {"prompt": "Hello"})

    assert (status, answer["object"], answer["choices"][0]["text"]) == (
        200,
        "text_completion",
        "Hello! Hello!",
    )


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}, "messages.0"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}
                ]
            },
            "messages.0.content.0",
        ),
    ],
)
def test_what_can_not_be_carried_is_refused_by_name(server: Server, more: Json, field: str) -> None:
    """Nothing is dropped in silence."""
    status, answer = ask(server, "chat", {**HELLO, **more})

    assert status == 422
    assert ".".join(str(part) for part in answer["detail"][0]["loc"]) == f"body.{field}"


def test_what_is_not_supported_is_dropped_where_the_route_says_so(
    server: Server, upstream: MockUpstream
) -> None:
    """And told in a header, for a plugin as for any other provider."""
    upstream.reply(json_reply(SAYS))

    with server.client() as http:
        answer = http.post("/gateway/lenient/invocations", json={**HELLO, "seed": 7})

    assert answer.headers["x-gateway-dropped-params"] == "seed"
    assert "seed" not in upstream.request().json


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (json_reply({"message": "the parrot sleeps"}, 503), 503, "parrot answered 503: the parrot sleeps"),
        (json_reply({"message": f"wrong key {KEY}"}, 401), 502, "parrot refuses the gateway's credentials"),
        (json_reply({"says": "Hello"}), 502, "parrot: its answer lacks what it should have"),
    ],
)
def test_an_upstream_s_failure_is_told_as_any_other(
    server: Server, upstream: MockUpstream, reply: Reply, status: int, said: str
) -> None:
    """With its words, and without the key."""
    upstream.reply(reply)

    found, answer = ask(server, "chat", HELLO)

    assert found == status
    assert said in answer["message"]
    assert KEY not in json.dumps(answer)


def test_a_mistake_in_its_settings_is_told_with_line_endpoint_and_key(tmp_path: Path) -> None:
    """As for a built-in provider; unknown settings are warned of."""
    path = write_config(
        tmp_path / "gateway.yaml",
        {"endpoints": [configuration("nowhere"), configuration("http://x", "completions", colour="green")]},
    )

    done = run_command("check", str(path), "--json")

    told = json.loads(done.stdout)
    assert done.returncode == 2
    assert [(p["line"], p["endpoint"], p["key"]) for p in told["problems"]] == [
        (1, "chat", "model.config.parrot_api_base")
    ]
    assert [(w["endpoint"], w["key"]) for w in told["warnings"]] == [("completions", "model.config.colour")]
    assert KEY not in done.stdout + done.stderr


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_shows_the_example() -> None:
    """Every block of code in it is a part of the example's files, and all of the module is there."""
    module = (FOLDER / "src" / "gateway_example_provider" / "__init__.py").read_text("utf-8")
    project = (FOLDER / "pyproject.toml").read_text("utf-8")

    assert [code for kind, code in BLOCKS if kind == "python" and code not in module] == []
    assert [code for kind, code in BLOCKS if kind == "toml" and code not in project] == []
    shown = "".join(code for kind, code in BLOCKS if kind == "python").splitlines()
    body = module.partition("\n\n")[2]
    beside = ("from collections", "from dataclasses", "from typing", "__all__")
    assert [line for line in body.splitlines() if line not in shown and not line.startswith(beside)] == []


def test_the_page_s_configuration_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the example installed."""
    monkeypatch.setenv("PARROT_API_KEY", KEY)
    [text] = [code for kind, code in BLOCKS if kind == "yaml"]

    config = load_config(yaml.safe_load(text))

    assert config.routes[0].model.provider == "parrot"
    assert KEY not in repr(config)
    assert text in (FOLDER / "README.md").read_text("utf-8")
