"""Google's credentials: of a file, or those that its tools and its machines give (application-default credentials).

https://cloud.google.com/docs/authentication/application-default-credentials; by the extra `vertex`, the only import of
google-auth.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway_async.credentials.held import Held, Holder
from gateway_async.errors import ConfigError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)

REFRESH_SECONDS = 300.0
"""So long before its end, a token is replaced; of a short-lived one, a third of its life."""

ASK_SECONDS = 10.0
"""So long Google may take to answer, each time that it is asked."""


class GoogleCredentials:
    """The headers that let us in, with a token that is renewed before it ends.

    Args:
        path: A file with the key of a service account, or what `gcloud auth application-default login` wrote; without
            it, what `GOOGLE_APPLICATION_CREDENTIALS`, gcloud or the machine gives.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._credentials: Credentials | None = None
        self._holder = Holder(self._fetch)

    async def headers(self) -> Mapping[str, str]:
        """The headers, the project that pays among them where the credentials name one.

        Raises:
            ConfigError: There are no credentials, or Google gives no token for them; the message says what to do.
        """
        return await self._holder.get()

    def _fetch(self) -> Held[Mapping[str, str]]:
        """The headers with a new token; this blocks."""
        try:
            from google.auth.exceptions import GoogleAuthError
            from google.auth.transport.requests import Request
        except ImportError:
            raise ConfigError(
                "Google's credentials need google-auth: pip install 'ai-gateway-sdk[vertex]'; or give a token as api_key"
            ) from None
        try:
            if self._credentials is None:
                self._credentials = _from_file(self._path) if self._path else _default()
            self._credentials.refresh(partial(Request(), timeout=ASK_SECONDS))
        except (GoogleAuthError, OSError, ValueError) as problem:
            self._credentials = None  # the file may have others the next time
            where = f"in {self._path!r}" if self._path else "by default"
            raise ConfigError(
                f"no Google credentials are to be had {where}: {problem}; name a file under credentials, set"
                " GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"
            ) from None
        return _held(self._credentials)


def _held(credentials: "Credentials") -> Held[Mapping[str, str]]:
    headers: dict[str, str] = {"Authorization": f"Bearer {credentials.token}"}
    if credentials.quota_project_id:
        headers["x-goog-user-project"] = credentials.quota_project_id
    if credentials.expiry is None:
        return Held(headers)
    ends_at = credentials.expiry.replace(tzinfo=UTC).timestamp()
    left = ends_at - time.time()
    return Held(headers, ends_at - min(REFRESH_SECONDS, max(left, 0.0) / 3), ends_at)


def _default() -> Any:
    import google.auth

    credentials, _ = google.auth.default(scopes=SCOPES)
    return credentials


def _from_file(path: str) -> Any:
    """The credentials in a file.

    Raises:
        ValueError: It holds none.
    """
    from google.oauth2.credentials import Credentials
    from google.oauth2.service_account import Credentials as ServiceAccount

    with open(path, encoding="utf-8") as file:
        known: Any = json.load(file)
    kind = known.get("type") if isinstance(known, dict) else None
    if kind == "service_account":
        return ServiceAccount.from_service_account_info(known, scopes=SCOPES)  # type: ignore[no-untyped-call] # google-auth types it not
    if kind == "authorized_user":
        return Credentials.from_authorized_user_info(known, scopes=SCOPES)  # type: ignore[no-untyped-call] # as above
    raise ValueError(
        "it is neither a service account's nor a user's (others: in GOOGLE_APPLICATION_CREDENTIALS)"
    )
