"""What a provider's setting may be: a key, an address; and what a provider's settings may say of themselves."""

from typing import Annotated, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from gateway_async.secrets import LOGIN, MASK, AddressWithLogin, Secret, resolve_secret, without_login

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
    return AddressWithLogin(value) if LOGIN.match(value) else value


Address = Annotated[str, AfterValidator(_address), PlainSerializer(without_login, return_type=str)]
"""The address of a server. A user and a password in it are masked wherever they would show."""

CloudName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
"""The name of a project in Google's cloud; it stands in an address's path."""

PlaceName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
"""The name of a place of Google's cloud; it stands in the name of a host."""


@runtime_checkable
class UsesServerCredentials(Protocol):
    """Settings that may let the server use credentials of its own, which stand in no setting."""

    def server_credentials(self) -> str | None:
        """Whose credentials of the server's they use, as `upstream.allow_secrets` lists them; None: nobody's."""
        ...
