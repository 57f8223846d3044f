"""Plugins that fail, each in its way: their own routes say so, and nothing else is touched."""

import json
import logging
import pprint
import subprocess
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient, provider
from gateway_async.call import Answer
from gateway_async.config_file import Document, load_config
from gateway_async.errors import ConfigError, GatewayError, NotSupported
from gateway_async.gateway import Gateway
from tests.plugins.conftest import Install
from tests.support.configs import HELLO
from tests.support.server import ROOT, environment, run_command, running, write_config
from tests.support.upstream import MockUpstream, Reply, chat, error, stream

Json = dict[str, Any]

CANARY = "sk-canary-0123456789"

GOOD = """
from gateway_async.provider import Answer, ConfigModel, RouteType

class Echo:
    name = "echo-plugin"
    route_types = frozenset({RouteType.LLM_V1_CHAT})

    def bind(self, model, kind):
        return self

    async def respond(self, call):
        text = call.data["messages"][-1]["content"]
        return Answer(b'{"id": "1", "object": "chat.completion", "created": 1, "model": "echo", "choices": '
                      b'[{"index": 0, "message": {"role": "assistant", "content": "%b"}, "finish_reason": "stop"}]}'
                      % text.encode())

provider = Echo()
"""

WITH_SETTINGS = """
from gateway_async.provider import Answer, ApiKey, ConfigModel, RouteType

class Settings(ConfigModel):
    some_api_key: ApiKey
    depth: int = 3

class Provider:
    name = "odd"
    route_types = frozenset({RouteType.LLM_V1_CHAT})
    config = Settings

    def bind(self, model, kind):
        BIND

provider = Provider()
"""


def with_settings(bind: str) -> str:
    """The source of a plugin that takes settings."""
    return WITH_SETTINGS.replace("BIND", bind)


FAILURES = {
    "no module": (None, "importing plugin_", "ModuleNotFoundError"),
    "an import that fails": (
        "import a_package_that_there_is_not",
        "importing",
        "a_package_that_there_is_not",
    ),
    "an exception at import": ("raise RuntimeError('no licence')", "importing", "RuntimeError: no licence"),
    "an exit at import": ("raise SystemExit(3)", "importing", "SystemExit: 3"),
    "no syntax": ("def (:", "importing", "SyntaxError"),
    "no such attribute": ("other = 1", "importing", "AttributeError"),
    "a class": (GOOD.replace("provider = Echo()", "provider = Echo"), "is a class; name an instance of it"),
    "no name": (GOOD.replace("    name =", "    title ="), "has no 'name'"),
    "no types": (GOOD.replace("frozenset({RouteType.LLM_V1_CHAT})", "()"), "has no 'route_types'"),
    "wrong types": (GOOD.replace("RouteType.LLM_V1_CHAT", "'llm/v9/smell'"), "has no 'route_types'"),
    "no bind": (GOOD.replace("def bind(", "def tie("), "has no method 'bind'"),
    "settings that are none": (
        GOOD.replace("    name =", "    config = dict\n    name ="),
        "has a 'config' that is no subclass of gateway_async.provider.ConfigModel",
    ),
    "a key that shows": (
        with_settings("pass").replace("some_api_key: ApiKey", "some_api_key: str"),
        "has a setting 'some_api_key' that would show in logs",
    ),
    "an exception in bind": (
        with_settings("raise KeyError(f'no {model.config.some_api_key}')"),
        "bind() failed: KeyError: 'no **********'",
    ),
    "nothing from bind": (
        with_settings("return None"),
        "bind() gave no adapter: NoneType has no request, answer, reader, error",
    ),
}
"""Kind of failure → the plugin's source, and what is said of it."""


def routes(name: str = "odd") -> Json:
    """A configuration with a route of the plugin, and one that is none of its business."""
    model = {"provider": name, "name": "m", "config": {"some_api_key": CANARY, "another": {"secret": CANARY}}}
    return {
        "endpoints": [
            {
                "name": "good",
                "endpoint_type": "llm/v1/chat",
                "model": {"provider": "offline", "name": "echo"},
            },
            {"name": "odd", "endpoint_type": "llm/v1/chat", "model": model},
        ]
    }


@pytest.mark.parametrize(("source", "said"), [(f[0], f[1:]) for f in FAILURES.values()], ids=FAILURES)
async def test_a_plugin_that_fails_takes_down_its_own_routes_only(
    install: Install, source: str | None, said: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The configuration loads, the others are served, and its calls are told which plugin of whom fails at what."""
    caplog.set_level(logging.DEBUG)
    install("odd", source)

    config = load_config(routes())
    async with AsyncGatewayClient.local(config) as client:
        assert (await client.query("good", HELLO))["choices"]
        with pytest.raises(NotSupported) as refused:
            await client.query("odd", HELLO)

    for part in ("the plugin 'odd' of some-plugin 1.0 can't be used", *said):
        assert part in refused.value.message
    shown = [repr(config), pprint.pformat(config), config.model_dump_json(), repr(config.model_dump())]
    shown += [caplog.text, "".join(traceback.format_exception(refused.value))]
    assert CANARY not in "".join(shown)


def test_a_plugin_that_fails_is_told_by_check(install: Install, tmp_path: Path) -> None:
    """With its line and its endpoint; the command ends with 2."""
    folder = install("odd", "raise RuntimeError('no licence')")
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "endpoints:\n"
        "  - name: odd\n"
        "    endpoint_type: llm/v1/chat\n"
        "    model:\n"
        "      provider: odd\n"
        f"      config: {{some_api_key: {CANARY}}}\n"
    )

    done = run_command("check", str(path), env={"PYTHONPATH": _path(folder)})

    assert done.returncode == 2
    assert f"{path}:5: endpoint 'odd', model.provider: the plugin 'odd' of some-plugin 1.0" in done.stderr
    assert "RuntimeError: no licence" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_a_running_gateway_answers_501_for_it(install: Install, tmp_path: Path) -> None:
    """And serves the rest, in every dialect."""
    folder = install("odd", "import a_package_that_there_is_not")

    with running(tmp_path, routes(), env={"PYTHONPATH": _path(folder)}) as server, server.client() as http:
        assert http.post("/gateway/good/invocations", json=HELLO).status_code == 200
        refused = http.post("/gateway/odd/invocations", json=HELLO)
        openai_s = http.post("/v1/chat/completions", json={"model": "odd", **HELLO})
        listed = http.get("/api/2.0/gateway/routes/").json()["routes"]

    assert (refused.status_code, openai_s.status_code) == (501, 501)
    assert "a_package_that_there_is_not" in refused.json()["message"]
    assert "the plugin 'odd' of some-plugin 1.0" in openai_s.json()["error"]["message"]
    assert [route["model"]["provider"] for route in listed] == ["offline", "odd"]
    assert CANARY not in refused.text + openai_s.text + server.log


def _path(folder: Path) -> str:
    return f"{ROOT}:{ROOT / 'server'}:{folder}"


async def test_a_plugin_that_answers_by_itself_needs_nothing(install: Install) -> None:
    """No upstream, no settings."""
    install("echo-plugin", GOOD)
    model = {"provider": "Echo_Plugin", "name": "m"}
    config = {"endpoints": [{"name": "e", "endpoint_type": "llm/v1/chat", "model": model}]}

    async with AsyncGatewayClient.local(config) as client:
        answer = await client.query("e", HELLO)

    assert answer["choices"][0]["message"]["content"] == "Hello there"


async def test_a_type_that_a_plugin_has_not_is_refused(install: Install) -> None:
    """As with any provider."""
    install("echo-plugin", GOOD)
    model = {"provider": "echo-plugin", "name": "m"}
    config = {"endpoints": [{"name": "e", "endpoint_type": "llm/v1/embeddings", "model": model}]}

    assert "has no llm/v1/embeddings" in Gateway(load_config(config)).unserved()["e"]


def test_the_settings_of_a_plugin_are_checked(install: Install) -> None:
    """What is wrong is told with its key; what is missing too; and a key never."""
    install("odd", with_settings("return None"))
    wrong = routes()
    wrong["endpoints"][1]["model"]["config"]["depth"] = "deep"
    none = routes()
    del none["endpoints"][1]["model"]["config"]

    with pytest.raises(ConfigError, match=r"endpoint 'odd', model\.config\.depth") as error:
        load_config(wrong)
    assert CANARY not in str(error.value)
    with pytest.raises(ConfigError, match="the provider 'odd' needs a config: with some_api_key"):
        load_config(none)
    assert [entry["key"] for entry in Document("", routes(), None).unknown_keys()] == ["model.config.another"]


def test_settings_that_raise_are_the_plugin_s_fault(install: Install) -> None:
    """Not a traceback with a key in it."""
    source = with_settings("return None").replace(
        "    depth: int = 3",
        "    depth: int = 3\n    def model_post_init(self, context): raise RuntimeError(self.some_api_key)",
    )
    install("odd", source)

    with pytest.raises(
        ConfigError, match="the provider 'odd' can't read its settings: RuntimeError"
    ) as error:
        load_config(routes())

    assert CANARY not in "".join(traceback.format_exception(error.value))


LATER = """
from gateway_async.provider import ApiKey, Adapter, ConfigModel, JsonAdapter, RouteType, UpstreamRequest

class Settings(ConfigModel):
    some_api_key: ApiKey

class Reader:
    done = False

    def __init__(self, fail):
        self.feed = fail

class Adapter(JsonAdapter):
    def body(self, data, *, stream):
        return {}

    def reader(self, data):
        return Reader(self.fail)

    def fail(self, *given, **more):
        raise RuntimeError(self.headers["X-Key"])

    async def fail_later(self, *given):
        self.fail()

class Provider:
    name = "odd"
    route_types = frozenset({RouteType.LLM_V1_CHAT})
    config = Settings

    def bind(self, model, kind):
        return Adapter(provider="odd", url="URL", headers={"X-Key": model.config.some_api_key}, model="m")

provider = Provider()
"""
"""A plugin that fails in streams, and in the method to which `Adapter.fail` is assigned behind it."""


@pytest.mark.parametrize(
    ("method", "called", "reply", "streamed"),
    [
        ("body", "request", chat(), False),
        ("authorize", "authorize", chat(), False),
        ("translate", "answer", chat(), False),
        ("answer", "answer", chat(), False),
        ("error", "error", error(400), False),
        ("reader", "reader", stream(b"data: {}\n\n"), True),
        ("", "feed", stream(b"data: {}\n\n"), True),
    ],
)
async def test_a_plugin_that_fails_in_a_call_is_told_as_the_one_who_did(
    install: Install,
    upstream: MockUpstream,
    caplog: pytest.LogCaptureFixture,
    method: str,
    called: str,
    reply: Reply,
    streamed: bool,
) -> None:
    """The caller learns which plugin it was, the log has the traceback, and neither shows the key."""
    fail = "Adapter.fail_later" if method == "authorize" else "Adapter.fail"
    install("odd", LATER.replace("URL", upstream.url) + (f"Adapter.{method} = {fail}\n" if method else ""))
    upstream.reply(reply)

    async with AsyncGatewayClient.local(routes()) as client:
        with pytest.raises(GatewayError) as failed:
            await (_read(client) if streamed else client.query("odd", HELLO))

    assert failed.value.status == 500
    assert f"the plugin 'odd' of some-plugin 1.0 failed in {called}()" in failed.value.message
    assert "Traceback" in caplog.text
    assert CANARY not in caplog.text + "".join(traceback.format_exception(failed.value))


RESPONDER = """
from gateway_async.provider import Answer, ApiKey, ConfigModel, InvalidRequest, RouteType

class Settings(ConfigModel):
    some_api_key: ApiKey

class Stream:
    headers = ()

    def __init__(self, key):
        self.key = key

    def __aiter__(self):
        return self

    async def __anext__(self):
        BODY

    async def aclose(self):
        pass

class Provider:
    name = "odd"
    route_types = ("llm/v1/chat",)
    config = Settings

    def bind(self, model, kind):
        self.key = model.config.some_api_key
        return self

    async def respond(self, call):
        if call.stream:
            return Stream(self.key)
        BODY

provider = Provider()
"""
"""A plugin that answers by itself and fails, at once or in its stream."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError(self.key)", "failed in"),
        ("raise TypeError(self.key)", "failed in"),
        ("raise SystemExit(self.key)", "failed in"),
        ("raise InvalidRequest(f'not with {self.key}')", "not with **********"),
        ("return {'choices': []}", "failed in"),
        ("return Answer('{}')", "failed in"),
        ("return ['{}']", "failed in"),
        ("return b'{}'", "failed in"),
    ],
)
async def test_a_plugin_that_answers_by_itself_and_fails_is_told_as_the_one_who_did(
    install: Install, caplog: pytest.LogCaptureFixture, body: str, message: str, streamed: bool
) -> None:
    """By its name, with the traceback in the log, and without its key, whatever it raises or gives."""
    install("odd", RESPONDER.replace("BODY", body))

    async with AsyncGatewayClient.local(routes()) as client:
        with pytest.raises(GatewayError) as failed:
            await (_read(client) if streamed else client.query("odd", HELLO))

    assert message in failed.value.message
    assert "the plugin 'odd' of some-plugin 1.0" in failed.value.message or message != "failed in"
    assert CANARY not in caplog.text + "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize(
    ("steps", "chunks", "failed"),
    [
        ("raise InvalidRequest('no')", None, True),
        ("if self.at < 3: return [b'{}', b'{}']\n        raise InvalidRequest('no')", 4, True),
        ("if self.at < 3: return [b'{}']\n        raise StopAsyncIteration", 2, False),
        ("raise StopAsyncIteration", 0, False),
    ],
)
async def test_a_stream_of_a_plugin_that_answers_by_itself(
    install: Install, steps: str, chunks: int | None, failed: bool
) -> None:
    """A failure before its first chunk is an error, one behind it ends the stream."""
    counted = f"self.at = getattr(self, 'at', 0) + 1\n        {steps}"
    install("odd", RESPONDER.replace("BODY", counted, 1).replace("BODY", "pass"))
    told = list[bytes]()

    async with Gateway(load_config(routes())) as gateway:
        asked = gateway.handle(gateway.find("odd"), {**HELLO, "stream": True})
        if chunks is None:
            with pytest.raises(GatewayError, match="no"):
                await asked
            return
        answer = await asked
        assert not isinstance(answer, Answer)
        with pytest.raises(GatewayError) if failed else nullcontext():
            async for batch in answer:
                told += batch
        await answer.aclose()

    assert len(told) == chunks


async def _read(client: AsyncGatewayClient) -> None:
    async for _ in client.stream("odd", HELLO):
        pass


@pytest.mark.parametrize(("mode", "written"), [("before", CANARY), ("after", "$ODD_KEY")])
def test_a_check_that_repeats_a_key_is_not_heard(
    install: Install, monkeypatch: pytest.MonkeyPatch, mode: str, written: str
) -> None:
    """Neither as it is written, nor as it is read."""
    monkeypatch.setenv("ODD_KEY", CANARY)
    check = f"""
    @field_validator("some_api_key", mode={mode!r})
    def check(cls, value):
        raise ValueError(f"{{value}}")
"""
    source = with_settings("return None").replace("    depth: int = 3\n", check)
    install("odd", f"from pydantic import field_validator\n{source}")
    config = routes()
    config["endpoints"][1]["model"]["config"] = {"some_api_key": written}

    with pytest.raises(ConfigError, match="the provider 'odd' can't read its settings") as error:
        load_config(config)

    assert CANARY not in "".join(traceback.format_exception(error.value))


def test_a_built_in_name_can_not_be_taken(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """The built-in provider is used, of the table too, and the log says whose name it was."""
    install("offline", "raise RuntimeError", distribution="robber")
    install("ollama", "raise RuntimeError", distribution="other-robber")
    config = routes("ollama")
    config["endpoints"][1]["model"]["config"] = {}

    assert Gateway(load_config(config)).unserved() == {}

    for whose, name in (("robber 1.0", "offline"), ("other-robber 1.0", "ollama")):
        assert f"{whose} offers a plugin '{name}' in 'gateway.providers'" in caplog.text
    Gateway(load_config(config))
    assert caplog.text.count("offers a plugin") == 2


def test_two_plugins_of_one_name_are_none(install: Install) -> None:
    """Which one is meant nobody can say."""
    install("odd", GOOD, distribution="one")
    install("odd", GOOD, distribution="two")

    assert Gateway(load_config(routes())).unserved()["odd"] == (
        "the plugin 'odd' of one 1.0 and two 1.0 can't be used: several distributions offer it; uninstall all but one"
    )


def test_an_unknown_provider_is_told_with_those_there_are(install: Install) -> None:
    """Plugins among them, which are not imported for that."""
    install("odd", "raise RuntimeError")

    with pytest.raises(
        ConfigError, match=r"the provider 'nobody' is not supported; there are .*odd, "
    ) as error:
        load_config(routes("nobody"))

    assert "openai" in str(error.value)


def test_nothing_is_read_before_it_is_needed() -> None:
    """Importing the package reads no entry points, and a configuration without plugins imports none."""
    script = (
        "import importlib.metadata as metadata\n"
        "calls = []\n"
        "metadata.entry_points = lambda **given: calls.append(given.get('group')) or ()\n"
        "import gateway_async, gateway_async.gateway, gateway_async.config_file as files\n"
        "assert 'gateway.providers' not in calls\n"
        "for _ in range(2): gateway_async.gateway.Gateway(files.load_config(None))\n"
        "assert calls.count('gateway.providers') == 1, calls\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_plugins_may_import_is_there() -> None:
    """Every name, once, and with a docstring where it is a class or a function."""
    assert sorted(set(provider.__all__)) == sorted(provider.__all__)
    for name in provider.__all__:
        thing = getattr(provider, name)
        if callable(thing) and name not in ("Address", "ApiKey", "Json"):
            assert thing.__doc__, name


def test_a_check_without_problems_ends_well(install: Install, tmp_path: Path) -> None:
    """With a plugin that works."""
    folder = install("echo-plugin", GOOD)
    model = {"provider": "echo-plugin", "name": "m"}
    config = {"endpoints": [{"name": "e", "endpoint_type": "llm/v1/chat", "model": model}]}
    path = write_config(tmp_path / "gateway.yaml", config)

    done = run_command("check", str(path), "--json", env={"PYTHONPATH": _path(folder)})

    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
