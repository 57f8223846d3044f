"""What a provider's setting may be: a key, an address."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from gateway_async.secrets import MASK, Secret, resolve_secret

ApiKey = Annotated[str, AfterValidator(Secret), PlainSerializer(lambda _: MASK, return_type=str)]
"""A secret: masked wherever it would show."""

ResolvedApiKey = Annotated[ApiKey, BeforeValidator(resolve_secret)]
"""The same, read from where it stands."""


def _address(value: str) -> str:
    """The address, once it is one of the web. It is not repeated: a user and a password may stand in it."""
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or a bracket that stays open
        right = False
    if not right or not value.isprintable() or " " in value:
        raise ValueError("this is no address; one begins with https:// or http:// and a host")
    return value


Address = Annotated[str, AfterValidator(_address)]
"""The address of a server."""
