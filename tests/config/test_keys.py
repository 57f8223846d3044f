"""Where a key is read from, and that it shows nowhere once it is read."""

import copy
import json
import logging
import os
import pickle
import pprint
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway_async import AsyncGatewayClient
from gateway_async.base_models import ConfigModel
from gateway_async.config import AWSIdAndKey, GatewayConfig, OpenAIConfig
from gateway_async.config_file import Document, load_config
from gateway_async.errors import ConfigError
from gateway_async.gateway import Gateway
from gateway_async.provider_config import PROVIDER_CONFIGS
from gateway_async.secrets import Secret, resolve_secret
from tests.config.conftest import Write

CANARY = "sk-canary-0123456789"

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {"openai_api_key": CANARY},
        {
            "openai_api_key": CANARY,
            "openai_api_type": "azure",
            "openai_api_base": "https://x",
            "openai_deployment_name": "d",
            "openai_api_version": "v",
        },
    ],
    "bedrock": [
        {
            "aws_config": {
                "aws_access_key_id": CANARY,
                "aws_secret_access_key": CANARY,
                "aws_session_token": CANARY,
            }
        },
        {"aws_config": {"aws_access_key_id": "i", "aws_secret_access_key": CANARY}},
    ],
}
"""Settings with a key, of the providers whose key is not under `{provider}_api_key`."""


def with_keys() -> list[Any]:
    """Every provider's settings that hold a key."""
    found = []
    for name, schema in PROVIDER_CONFIGS.items():
        keys = [field for field in schema.model_fields if field.endswith("api_key")]
        base = {"api_base": "https://x"} if "api_base" in schema.model_fields else {}
        for settings in SETTINGS.get(name, [{key: CANARY, **base} for key in keys]):
            found.append(pytest.param(name, settings, id=name))
    return found


def configuration(provider: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A configuration with these settings."""
    names = {"mosaicml": "llama2", "ai21labs": "j2-mid"}
    model = {"provider": provider, "name": names.get(provider, "m"), "config": settings}
    return {"endpoints": [{"name": "a", "endpoint_type": "llm/v1/chat", "model": model}]}


def held(model: BaseModel) -> list[str]:
    """The secrets that a model holds, at any depth."""
    values = [getattr(model, name) for name in type(model).model_fields]
    inner = [secret for value in values if isinstance(value, BaseModel) for secret in held(value)]
    return [str(value) for value in values if isinstance(value, Secret)] + inner


@pytest.mark.parametrize("written", [CANARY, f"  {CANARY}\n"])
def test_a_key_can_be_given_itself(written: str) -> None:
    """Blanks around it are no part of it."""
    assert resolve_secret(written) == CANARY


def test_a_key_can_be_a_variable_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read when the configuration loads."""
    monkeypatch.setenv("MY_KEY", f"{CANARY}\n")

    assert resolve_secret("$MY_KEY") == CANARY
    assert OpenAIConfig(openai_api_key="$MY_KEY").openai_api_key == CANARY


def test_a_key_can_stand_in_a_file(tmp_path: Path) -> None:
    """As container platforms mount them."""
    path = tmp_path / "key"
    path.write_text(f"{CANARY}\n")

    assert resolve_secret(str(path)) == CANARY


@pytest.mark.parametrize("value", ["$NO_SUCH_VARIABLE", "$EMPTY"])
def test_a_variable_that_is_not_set_is_an_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named; one that is empty counts as not set."""
    monkeypatch.setenv("EMPTY", " ")

    with pytest.raises(ValueError, match=value[1:]):
        resolve_secret(value)


@pytest.mark.parametrize(
    "value", ["", "  ", None, 5, [], {}, True, b"bytes", f"{CANARY}\nx", f"{CANARY}é", f"{CANARY}\x00"]
)
def test_what_can_be_no_key_is_an_error(value: Any) -> None:
    """The value is not repeated."""
    with pytest.raises(ValueError, match="key") as error:
        resolve_secret(value)

    assert CANARY not in str(error.value)


@pytest.mark.parametrize("value", ["$", f"${CANARY}", "$a b", "${MY_KEY}"])
def test_what_begins_like_a_variable_and_is_none_is_not_repeated(value: str) -> None:
    """A key may begin with $ by accident."""
    with pytest.raises(ValueError, match="environment variable") as error:
        resolve_secret(value)

    assert value[1:] == "" or value[1:] not in str(error.value)


def test_a_variable_may_not_hold_what_no_header_can_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway would fail at every call."""
    monkeypatch.setenv("BAD_KEY", f"{CANARY}\nx")

    with pytest.raises(ValueError, match="the environment variable 'BAD_KEY' holds characters") as error:
        resolve_secret("$BAD_KEY")

    assert CANARY not in str(error.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00", b"two\nlines", "é".encode()])
def test_a_file_that_holds_no_key_is_an_error(tmp_path: Path, content: bytes) -> None:
    """Its path is not taken for the key."""
    path = tmp_path / "key"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="the key's file"):
        resolve_secret(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    """Nor then."""
    path = tmp_path / "key"
    path.write_text("k")
    path.chmod(0)

    with pytest.raises(ValueError, match="the key's file can't be read"):
        resolve_secret(str(path))


def test_a_key_may_be_longer_than_a_file_name() -> None:
    """Some providers' keys are tokens of kilobytes."""
    assert len(resolve_secret("k" * 20_000)) == 20_000


@pytest.mark.parametrize(("provider", "settings"), with_keys())
def test_a_key_is_kept_and_does_not_show(
    provider: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a repr, a dump, a schema or a log, of the settings or of anything around them."""
    caplog.set_level(logging.DEBUG)
    config = load_config(configuration(provider, settings))
    route = config.routes[0]
    assert route.model.config is not None
    assert set(held(route.model.config)) - {"i"} == {CANARY}

    shown: list[str] = []
    everything: list[Any] = [config, route, route.model, route.model.config, route.to_route()]
    for model in (*everything, *(copy.deepcopy(each) for each in everything)):
        shown += [repr(model), str(model), f"{model}", pprint.pformat(model)]
        shown += [repr(model.model_dump()), repr(model.model_dump(mode="json")), model.model_dump_json()]
        shown += [repr(model.model_dump(serialize_as_any=True)), repr(dict(model)), repr(vars(model))]
        shown += [repr(list(model)), json.dumps(model.model_dump(mode="json", by_alias=True))]
        shown += [
            json.dumps(type(model).model_json_schema()),
            repr(model.model_copy()),
            repr(model.__rich_repr__()),
        ]
    Gateway(config)
    client = AsyncGatewayClient.local(config)
    shown += [repr(client), str(client), caplog.text]

    assert [text for text in shown if CANARY in text] == []


@pytest.mark.parametrize(("provider", "settings"), with_keys())
def test_a_key_survives_a_copy_and_a_pickle(provider: str, settings: dict[str, Any]) -> None:
    """A client of this process can be sent to another."""
    config = load_config(configuration(provider, settings))

    for again in (copy.deepcopy(config), config.model_copy(), pickle.loads(pickle.dumps(config))):
        assert again.routes[0].model.config is not None
        assert CANARY in held(again.routes[0].model.config)


def mistakes(provider: str, settings: dict[str, Any]) -> list[Any]:
    """The configuration with each of its values replaced by what is wrong there, keys among it.

    A text in the place of a name is repeated, as a name: it is no key in the wrong place that anybody could tell.
    """
    whole = configuration(provider, settings)
    found: list[Any] = []
    bad: list[Any] = [None, 5, [], {}, [CANARY], {"x": CANARY}, {"openai_api_key": CANARY}]
    bad_keys = [f"${CANARY}", f"{CANARY}\n\x00", f"{CANARY}é"]

    def walk(node: Any, path: tuple[Any, ...]) -> None:
        if path:
            for value in (
                bad + bad_keys * path[-1].endswith(("key", "token")) if isinstance(path[-1], str) else bad
            ):
                changed = copy.deepcopy(whole)
                inner = changed
                for part in path[:-1]:
                    inner = inner[part]
                inner[path[-1]] = value
                found.append(changed)
        for key, value in (
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        ):
            walk(value, (*path, key))

    walk(whole, ())
    return found


@pytest.mark.parametrize(("provider", "settings"), with_keys())
def test_a_mistake_anywhere_does_not_show_a_key(provider: str, settings: dict[str, Any]) -> None:
    """Whatever is wrong: the error, its parts and its traceback hold no key."""
    raised = 0
    for data in mistakes(provider, settings):
        try:
            Gateway(load_config(data))
        except ConfigError as error:
            raised += 1
            shown = [str(error), repr(error), json.dumps(error.problems), json.dumps(error.body())]
            shown.append("".join(traceback.format_exception(error)))
            assert CANARY not in "".join(shown), data
        Document("", data, None).unknown_keys()

    assert raised > 20


@pytest.mark.parametrize(("provider", "settings"), with_keys())
def test_pydantic_s_own_error_does_not_show_a_key(provider: str, settings: dict[str, Any]) -> None:
    """Somebody may make settings without a file around them."""
    schema = PROVIDER_CONFIGS[provider]
    for model in (schema, GatewayConfig):
        for data in (
            {**settings, "openai_api_type": [CANARY], "aws_config": CANARY},
            {"endpoints": CANARY},
            CANARY,
            [CANARY],
        ):
            shown = ""
            try:
                model.model_validate(data)
            except ValidationError as error:
                shown = str(error) + repr(error) + "".join(traceback.format_exception(error))
            assert CANARY not in shown


def test_every_model_of_configuration_hides_its_input() -> None:
    """A new one can't be forgotten: all are below one base."""

    def below(model: type[BaseModel]) -> list[type[BaseModel]]:
        return [each for sub in model.__subclasses__() for each in (sub, *below(sub))]

    for schema in PROVIDER_CONFIGS.values():
        assert issubclass(schema, ConfigModel)
    ours = [model for model in below(ConfigModel) if model.__module__.startswith("gateway_")]
    assert len(ours) > 20
    assert [model.__name__ for model in ours if not model.model_config.get("hide_input_in_errors")] == []


def test_every_field_for_a_key_is_a_secret() -> None:
    """By its name: whatever ends in key or token, or has secret in it."""
    open_: list[str] = []
    schemas: list[type[ConfigModel]] = [*PROVIDER_CONFIGS.values(), AWSIdAndKey]
    for schema in schemas:
        for name, field in schema.model_fields.items():
            if name.endswith(("_key", "_token")) or "secret" in name:
                masked = "Secret" in f"{field.metadata} {field.annotation}"
                open_ += [] if masked else [f"{schema.__name__}.{name}"]

    assert open_ == []


def test_yaml_does_not_show_a_key_that_begins_with_one_of_its_signs(write: Write) -> None:
    """Such a key must be quoted; the error says where, and not what."""
    for sign in "!*&%@`|>{[,\"'":
        text = f"endpoints:\n  - name: a\n    model: {{config: {{openai_api_key: {sign}{CANARY} x}}}}\n"
        with pytest.raises(ConfigError) as error:
            load_config(write(text))

        assert CANARY not in str(error.value) + json.dumps(error.value.problems)


def test_aws_keys_are_read_from_where_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As every other key: a variable, a file, or the key itself."""
    monkeypatch.setenv("A_SECRET", CANARY)
    (tmp_path / "token").write_text(f"{CANARY}\n")
    config = AWSIdAndKey(
        aws_access_key_id="AKIA/1",
        aws_secret_access_key="$A_SECRET",
        aws_session_token=str(tmp_path / "token"),
    )

    assert config.aws_access_key_id == "AKIA/1"
    assert config.aws_secret_access_key == config.aws_session_token == CANARY
