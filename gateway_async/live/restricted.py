"""Routes that come over the API: what the configuration file may say of a route, without what only the operator may give.

Such a route brings its own keys. It reads neither the server's environment nor its files, and uses none of the
server's credentials, but for those that the operator lists in `upstream.allow_secrets`; and those go to the provider's
own address only.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from pydantic import ValidationError

from gateway_async.config import Model, RouteConfig
from gateway_async.config_file import unknown_in, words
from gateway_async.errors import InvalidRequest
from gateway_async.network_guard import addresses_in
from gateway_async.provider_config import OPENAI_BASE
from gateway_async.provider_names import plain_name, provider_of, settings_of
from gateway_async.secrets import only_listed
from gateway_async.server_config import UpstreamConfig
from gateway_async.setting_types import UsesServerCredentials
from gateway_async.validation import path_in

Json = dict[str, Any]


def restricted_route(document: Mapping[str, Any], upstream: UpstreamConfig | None) -> RouteConfig:
    """The route that a document describes.

    Args:
        document: The keys of an endpoint in the configuration file, `name` among them; see `written_plainly`.
        upstream: What the operator allows; None: all that this process can, whose own code made the route.

    Raises:
        InvalidRequest: A field is wrong, unknown, or asks for what only the operator may give; each is listed.
    """
    plain = written_plainly(document)
    problems = [
        (list(at), f"unknown; known are {', '.join(known)}") for at, known in unknown_in([RouteConfig], plain)
    ]
    with nullcontext() if upstream is None else only_listed(upstream.allow_secrets) as secrets:
        try:
            route = RouteConfig.model_validate(plain)
        except ValidationError as wrong:
            for entry in wrong.errors(include_url=False, include_context=False, include_input=False):
                at = path_in(entry["loc"], plain, missing=entry["type"] == "missing")
                problems.append((at, words(entry)))
            raise _invalid(problems, document) from None
    if upstream is not None and secrets is not None:
        problems += _of_credentials(route.model, secrets.used, upstream)
    if problems:
        raise _invalid(problems, document)
    return route


def written_plainly(document: Mapping[str, Any]) -> Json:
    """The document with `endpoint_type` for `route_type`, and with its provider's settings under `config`.

    The documented example gives them under the provider's name: `openai_config`.
    """
    plain = dict(document)
    if "endpoint_type" not in plain and "route_type" in plain:
        plain["endpoint_type"] = plain.pop("route_type")
    if isinstance(model := plain.get("model"), Mapping):
        plain["model"] = _with_config(model)
    return plain


def _with_config(model: Mapping[str, Any]) -> Json:
    plain = dict(model)
    given = [key for key in plain if key.endswith("_config") and _is_of(key, plain.get("provider"))]
    if len(given) == 1 and "config" not in plain:
        plain["config"] = plain.pop(given[0])
    return plain


def _is_of(key: str, provider: Any) -> bool:
    """Whether this is how settings of the provider, or of any where none is named, may be called."""
    try:
        named = plain_name(provider_of(key.removesuffix("_config") if provider is None else provider))
    except ValueError:
        return False
    return key == f"{named.replace('-', '_')}_config"


def _of_credentials(
    model: Model, used: set[str], upstream: UpstreamConfig
) -> list[tuple[list[str | int], str]]:
    """What is wrong with the server's own credentials that a route would use."""
    used = set(used)
    if (own := _server_credentials(model)) is not None:
        if own not in upstream.allow_secrets:
            text = (
                f"this uses credentials of the server's own ({own!r}), which a route made over the API may only where"
                " the operator lists them in upstream.allow_secrets; else give it credentials of its own"
            )
            return [(["model", "config"], text)]
        used.add(own)
    return [
        (
            ["model", "config", *setting.split(".")],
            f"the server's own credentials ({', '.join(sorted(used))}) go to the provider's own address only; leave"
            " this out, give the route a key of its own, or write it into the configuration file",
        )
        for setting, url in addresses_in(model)
        if used and url != OPENAI_BASE
    ]


def _server_credentials(model: Model) -> str | None:
    settings: Any = model.config
    if settings is None and (kind := settings_of(model.provider)) and issubclass(kind, UsesServerCredentials):
        try:
            settings = kind()
        except ValidationError:  # it needs settings, and says so when it is served
            return None
    return settings.server_credentials() if isinstance(settings, UsesServerCredentials) else None


def _invalid(problems: list[tuple[list[str | int], str]], document: Mapping[str, Any]) -> InvalidRequest:
    """The error that lists them, by the names that the caller knows."""
    if "endpoint_type" not in document:
        problems = [(["route_type"] if at == ["endpoint_type"] else at, text) for at, text in problems]
    detail = [{"loc": ["body", *at], "msg": text, "type": "value_error"} for at, text in problems]
    lines = [f"{'.'.join(map(str, at))}: {text}" for at, text in problems]
    return InvalidRequest("; ".join(lines), detail=detail)
