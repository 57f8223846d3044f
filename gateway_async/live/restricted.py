"""Routes that come over the API: what the configuration file may say of a route, without what only the operator may give.

Such a route brings its own keys. It reads neither the server's environment nor its files, and uses none of the
server's credentials, but for those that the operator lists in `upstream.allow_secrets`; and those go to the provider's
own address only.
"""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

from pydantic import ValidationError

from gateway_async.config import Model, RouteConfig
from gateway_async.config_file import parts, unknown_in, words
from gateway_async.errors import InvalidRequest
from gateway_async.network_guard import addresses_in
from gateway_async.provider_config import OPENAI_BASE
from gateway_async.provider_names import plain_name, provider_of, settings_of
from gateway_async.secrets import only_listed
from gateway_async.server_config import UpstreamConfig
from gateway_async.setting_types import UsesServerCredentials
from gateway_async.validation import path_in

Json = dict[str, Any]
Problem = tuple[list[str | int], str]
"""Where something is wrong in a document, and what."""

MOST_DESTINATIONS = 32
"""Destinations that a route may have."""


def restricted_route(document: Mapping[str, Any], upstream: UpstreamConfig | None) -> RouteConfig:
    """The route that a document describes.

    Args:
        document: The keys of an endpoint in the configuration file, `name` among them; see `written_plainly`.
        upstream: What the operator allows; None: all that this process can, whose own code made the route.

    Raises:
        InvalidRequest: A field is wrong, unknown, or asks for what only the operator may give; each is listed.
    """
    plain = written_plainly(document)
    problems: list[Problem] = [
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
        for place, model in route.placed_models():
            used = secrets.used and _used_by(_at(plain, place), upstream)
            problems += _of_credentials(place, model, used, upstream)
    if problems:
        raise _invalid(problems, document)
    return route


def written_plainly(document: Mapping[str, Any]) -> Json:
    """The document with `endpoint_type` for `route_type`, and with providers' settings under `config`.

    The documented example gives them under the provider's name: `openai_config`.

    Raises:
        InvalidRequest: It has more destinations than a route may have.
    """
    plain = dict(document)
    if "endpoint_type" not in plain and "route_type" in plain:
        plain["endpoint_type"] = plain.pop("route_type")
    if isinstance(model := plain.get("model"), Mapping):
        plain["model"] = _with_config(model)
    if isinstance(several := plain.get("destinations"), list):
        if len(several) > MOST_DESTINATIONS:
            raise InvalidRequest.field(
                "destinations", f"these are {len(several)}; a route has at most {MOST_DESTINATIONS}"
            )
        plain["destinations"] = [_destination(each) for each in several]
    return plain


def _destination(given: Any) -> Any:
    if isinstance(given, Mapping) and isinstance(model := given.get("model"), Mapping):
        return {**given, "model": _with_config(model)}
    return given


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


def _at(document: Any, place: str) -> Any:
    """What stands at a place in a document that is well-formed."""
    for part in parts(place):
        document = document[part]
    return document


def _used_by(model: Any, upstream: UpstreamConfig) -> set[str]:
    """The listed secrets that one of a route's models uses: another's may go where this one's may not."""
    with (
        only_listed(upstream.allow_secrets) as secrets,
        suppress(ValidationError),
    ):  # which was right a moment ago
        Model.model_validate(model)
    return secrets.used


def _of_credentials(place: str, model: Model, used: set[str], upstream: UpstreamConfig) -> list[Problem]:
    """What is wrong with the server's own credentials that a model, which stands at this place, would use."""
    used = set(used)
    at: list[str | int] = [*parts(place), "config"]
    if (own := _server_credentials(model)) is not None:
        if own not in upstream.allow_secrets:
            text = (
                f"this uses credentials of the server's own ({own!r}), which a route made over the API may only where"
                " the operator lists them in upstream.allow_secrets; else give it credentials of its own"
            )
            return [(at, text)]
        used.add(own)
    return [
        (
            [*at, *setting.split(".")],
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


def _invalid(problems: list[Problem], document: Mapping[str, Any]) -> InvalidRequest:
    """The error that lists them, by the names that the caller knows."""
    if "endpoint_type" not in document:
        problems = [(["route_type"] if at == ["endpoint_type"] else at, text) for at, text in problems]
    detail = [{"loc": ["body", *at], "msg": text, "type": "value_error"} for at, text in problems]
    lines = [f"{'.'.join(map(str, at))}: {text}" if at else text for at, text in problems]
    return InvalidRequest("; ".join(lines), detail=detail)
