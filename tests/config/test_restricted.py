"""Routes that come over the API: their own keys, and nothing of the server's but what the operator lists."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_async.base_models import ConfigModel
from gateway_async.live.restricted import written_plainly
from gateway_async.network_guard import addresses_in
from gateway_async.provider_config import PROVIDER_CONFIGS
from gateway_async.secrets import only_listed, resolve_secret, secrets_in
from gateway_async.setting_types import UsesServerCredentials
from tests.config.restricted import problems, read

KEY = "sk-of-the-route"
SERVERS = "sk-of-the-server"
NAME = "A_KEY_OF_THE_SERVER"

Json = dict[str, Any]


def route(provider: str = "openai", config: Json | None = None, **more: Any) -> Json:
    """A route as it comes over the API."""
    model: Json = {"name": "some-model", "provider": provider}
    if config is not None:
        model["config"] = config
    return {"name": "mine", "route_type": "llm/v1/chat", "model": model, **more}


def key_of(document: Json, *secrets: str) -> str:
    """The only key of a route."""
    (key,) = secrets_in(read(document, *secrets).model.config)
    return str(key)


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is looked at of the environment and of files; at the end it must be nothing."""
    seen: list[str] = []

    def watched(own: Callable[..., Any]) -> Callable[..., Any]:
        def look(*arguments: Any) -> Any:
            seen.append(str(arguments))
            return own(*arguments)

        return look

    monkeypatch.setattr(os.environ, "get", watched(os.environ.get))
    for name in ("is_file", "read_text", "exists"):
        monkeypatch.setattr(Path, name, watched(getattr(Path, name)))
    yield seen
    assert seen == []


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server has a key in a variable, `$A_KEY_OF_THE_SERVER`, and another in this file."""
    monkeypatch.setenv(NAME, SERVERS)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "key.txt"
    file.write_text(SERVERS)
    return file


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, f" {KEY}\n", "a/b/c", "key.txt", "C3PO", "plain$", "a:b", "x" * 300])
def test_a_key_is_the_key_itself(key: str, servers: Path, unseen: list[str]) -> None:
    """Also where a file of the server has its name."""
    assert key_of(route(config={"openai_api_key": key})) == key.strip()


@pytest.mark.parametrize(
    "written",
    [
        *(f"${NAME}", f" ${NAME}", "$PATH", "$NOT_SET", "$", "$$", "$a b", f"${{{NAME}}}"),
        *("/etc/passwd", "/nowhere/at/all", " /etc/passwd", "./key.txt", "../key", "~/key", "~root/key", "~"),
        *("\\\\host\\share", ".\\key", "..\\key", "C:\\key", "c:/key", "file:///etc/passwd", "FILE:key", "/"),
    ],
)
def test_what_names_a_variable_or_a_file_is_refused_unseen(
    written: str, servers: Path, unseen: list[str]
) -> None:
    """There or not, the answer is the same, and nobody looked."""
    (said,) = problems(route(config={"openai_api_key": written})).items()

    assert said[0] == "model.config.openai_api_key"
    assert "upstream.allow_secrets" in said[1]
    assert NAME not in said[1]
    assert "passwd" not in said[1]


def test_a_file_that_is_there_is_refused_in_the_same_words(servers: Path) -> None:
    """The answer does not tell what files there are."""
    there, not_there = (
        problems(route(config={"openai_api_key": str(path)}))
        for path in (servers, servers.with_name("other"))
    )

    assert there == not_there


def test_a_secret_of_aws_may_begin_with_a_slash(unseen: list[str]) -> None:
    """Its letters are those of base64, forty of them."""
    secret = "/" + "aB3+" * 9 + "xyz"
    pair = {"aws_region": "us-east-1", "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": secret}

    made = read(route("bedrock", {"aws_config": pair}))

    assert secret in list(secrets_in(made.model.config))


@pytest.mark.parametrize("provider", sorted(PROVIDER_CONFIGS))
def test_no_provider_s_key_is_read_from_the_server(provider: str, servers: Path) -> None:
    """Whatever its setting is called: none takes the server's, and none says it."""
    settings = PROVIDER_CONFIGS[provider]
    config: Json = {name: f"${NAME}" for name in settings.model_fields if name.endswith("_key")}
    if "aws_config" in settings.model_fields:
        config = {"aws_config": {"aws_access_key_id": f"${NAME}", "aws_secret_access_key": str(servers)}}
    if not config:
        return
    config |= {
        name: "https://a.example" for name in settings.model_fields if name.endswith(("_base", "_url"))
    }

    said = problems(route(provider, config))

    assert any(at.endswith(("_key", "_id")) for at in said), said
    assert SERVERS not in str(said)


def test_what_is_listed_may_be_used(servers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word: a variable, a path."""
    assert key_of(route(config={"openai_api_key": f"${NAME}"}), f"${NAME}") == SERVERS
    assert key_of(route(config={"openai_api_key": str(servers)}), str(servers)) == SERVERS
    assert key_of(route(config={"openai_api_key": "key.txt"}), "key.txt") == SERVERS
    assert problems(route(config={"openai_api_key": f"./{servers.name}"}), "key.txt")
    assert problems(route(config={"openai_api_key": "$PATH"}), f"${NAME}")
    monkeypatch.delenv(NAME)
    assert problems(route(config={"openai_api_key": f"${NAME}"}), f"${NAME}")
    servers.unlink()
    assert problems(route(config={"openai_api_key": str(servers)}), str(servers))


def test_a_listed_key_goes_to_the_provider_s_own_address_only(servers: Path) -> None:
    """Or whoever may make routes sends it to himself."""
    config = {"openai_api_key": f"${NAME}"}

    said = problems(route(config={**config, "openai_api_base": "https://evil.example"}), f"${NAME}")

    assert "own address" in said["model.config.openai_api_base"]
    own = {**config, "openai_api_base": "https://api.openai.com/v1"}
    assert key_of(route(config=own), f"${NAME}") == SERVERS
    other = {"openai_api_key": KEY, "openai_api_base": "https://mine.example"}
    assert key_of(route(config=other), f"${NAME}") == KEY


# --- credentials that no setting holds --------------------------------------------------------------------------------

AMBIENT: dict[str, tuple[str, str, Json | None]] = {
    "AWS's environment": ("aws", "bedrock", {"aws_config": {"aws_region": "us-east-1"}}),
    "a role of AWS": ("aws", "amazon-bedrock", {"aws_config": {"aws_role_arn": "arn:aws:iam::1:role/x"}}),
    "Google's default": ("google", "vertex-ai", {"project": "p", "location": "us"}),
    "a file of Google's": (
        "/etc/key.json",
        "vertex-ai",
        {"project": "p", "location": "us", "credentials": "/etc/key.json"},
    ),
    "a file of Google's beside a key": (
        "/etc/key.json",
        "vertex-ai",
        {"project": "p", "location": "us", "credentials": "/etc/key.json", "api_key": KEY},
    ),
    "Databricks' environment": ("databricks", "databricks", None),
    "the same by its older name": ("databricks", "databricks-model-serving", {}),
}


@pytest.mark.parametrize(("listed", "provider", "config"), AMBIENT.values(), ids=AMBIENT)
def test_the_server_s_own_credentials_are_used_where_they_are_listed(
    listed: str, provider: str, config: Json | None, unseen: list[str]
) -> None:
    """And by that name alone."""
    document = route(provider, config)

    others = {"aws", "google", "databricks", f"${NAME}"} - {listed}
    assert "upstream.allow_secrets" in problems(document, *others)["model.config"]
    read(document, listed)


@pytest.mark.parametrize(
    ("listed", "provider", "config"),
    [
        ("aws", "bedrock", {"aws_config": {}, "bedrock_api_base": "https://evil.example"}),
        ("google", "vertex-ai", {"api_base": "https://evil.example"}),
        ("databricks", "databricks", {"databricks_api_base": "https://evil.example"}),
    ],
)
def test_they_too_go_to_the_provider_s_own_address_only(listed: str, provider: str, config: Json) -> None:
    """The operator's file may send them elsewhere."""
    (setting,) = (name for name in config if name.endswith("_base"))

    assert list(problems(route(provider, config), listed)) == [f"model.config.{setting}"]


def test_every_provider_without_a_key_of_its_own_is_known() -> None:
    """Who needs no key uses the server's credentials, a server of the user's own, or nothing."""
    without = {
        name
        for name, settings in PROVIDER_CONFIGS.items()
        if not any(each.endswith("_key") for each in settings.model_fields)
        and not issubclass(settings, UsesServerCredentials)
    }

    assert without == {"huggingface-text-generation-inference", "mlflow-model-serving", "offline"}


# --- the document -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "OpenAI", "ai21labs", "mlflow-model-serving", "togetherai"])
def test_settings_may_stand_under_the_provider_s_name(provider: str) -> None:
    """As the documented example has them."""
    name = provider.lower().replace("-", "_")
    setting = {"model_server_url": "https://a.example"} if "mlflow" in name else {f"{name}_api_key": KEY}
    model = {"name": "j2-ultra", "provider": provider, f"{name}_config": setting}

    made = read({"name": "mine", "route_type": "llm/v1/completions", "model": model})

    assert isinstance(made.model.config, ConfigModel)
    assert getattr(made.model.config, next(iter(setting))) == next(iter(setting.values()))


def test_a_document_is_written_plainly() -> None:
    """By one name for each thing, whatever it came by, and it is the caller's own still."""
    came = {"route_type": "llm/v1/chat", "model": {"openai_config": {"a": 1}}, "endpoint_type": "x"}

    assert written_plainly(came) == {**came, "model": {"config": {"a": 1}}}
    assert written_plainly({"route_type": "x"}) == {"endpoint_type": "x"}
    assert came["model"] == {"openai_config": {"a": 1}}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (route(config={"openai_api_key": KEY}, endpoints=[]), "endpoints"),
        (route(config={"openai_api_key": KEY}, limt={}), "limt"),
        (route(config={"openai_api_key": KEY}, endpoint_type="llm/v1/chat"), "route_type"),
        (route(config={"openai_api_key": KEY}, timeouts={"conect": 1}), "timeouts.conect"),
        (route(config={"openai_api_key": KEY, "openai_api_bas": "x"}), "model.config.openai_api_bas"),
        ({**route(), "model": {"provider": "openai", "anthropic_config": {}}}, "model.anthropic_config"),
        (
            {
                **route(),
                "model": {"provider": "openai", "config": {"openai_api_key": KEY}, "openai_config": {}},
            },
            "model.openai_config",
        ),
        ({"name": "a"}, "route_type"),
        ({"name": "a"}, "model"),
        ({"name": "a", "route_type": "llm/v1/chat", "model": "gpt"}, "model"),
        ({"name": "a", "route_type": "llm/v1/chat", "model": {"provider": {"a": KEY}}}, "model.provider"),
        (route("nobody", {}), "model.provider"),
        (route(), "model"),
        (route("openai", {"openai_api_key": 7}), "model.config.openai_api_key"),
        (
            route("bedrock", {"aws_config": {"aws_access_key_id": "a"}}),
            "model.config.aws_config.aws_secret_access_key",
        ),
        (route("mlflow-model-serving", {"model_server_url": "ftp://a"}), "model.config.model_server_url"),
        ({**route("offline"), "name": "a/b"}, "name"),
        (route("offline", route_type="llm/v9"), "route_type"),
        (route("offline", limits=[{"calls": 1, "renewal_period": "sometimes"}]), "limits"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(document: Json, where: str) -> None:
    """A misspelt key too: it must not pass silently. No value is repeated."""
    said = problems(document)

    assert where in said
    assert KEY not in str(said)


@pytest.mark.parametrize(
    "provider", sorted(PROVIDER_CONFIGS.keys() - {"databricks", "databricks-model-serving"})
)
def test_the_addresses_of_every_provider_are_found(provider: str) -> None:
    """So that they are checked before a route is made."""
    settings = PROVIDER_CONFIGS[provider].model_fields
    names = [name for name in settings if name.endswith(("_base", "_url"))]
    config: Json = dict.fromkeys(names, "https://a.example/v1")
    config |= {name: KEY for name in settings if name.endswith("_key")}
    if "aws_config" in settings:
        config["aws_config"] = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    document = route(provider, config, route_type="llm/v1/completions")
    document["model"]["name"] = "j2-ultra"

    assert list(addresses_in(read(document).model)) == [(name, "https://a.example/v1") for name in names]


# --- where it holds ---------------------------------------------------------------------------------------------------


async def test_it_holds_for_one_task_and_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others read what they may meanwhile."""
    monkeypatch.setenv(NAME, SERVERS)
    inside, outside = asyncio.Event(), asyncio.Event()

    async def restricted() -> None:
        with only_listed([]):
            inside.set()
            await outside.wait()
            with pytest.raises(ValueError, match="allow_secrets"):
                resolve_secret(f"${NAME}")
            with pytest.raises(ValueError, match="allow_secrets"):
                await asyncio.to_thread(resolve_secret, f"${NAME}")

    task = asyncio.create_task(restricted())
    await inside.wait()
    assert resolve_secret(f"${NAME}") == SERVERS
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(resolve_secret(f"${NAME}")))
    thread.start()
    await asyncio.to_thread(thread.join)
    outside.set()
    await task
    assert found == [SERVERS]
    assert resolve_secret(f"${NAME}") == SERVERS


def test_it_ends_with_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after reads as before."""
    monkeypatch.setenv(NAME, SERVERS)
    problems(route(config={"openai_api_key": f"${NAME}"}))

    assert resolve_secret(f"${NAME}") == SERVERS
