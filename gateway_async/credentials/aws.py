"""AWS: whose credentials sign a request, and where its services stand.

botocore, which the extra `bedrock` brings, is imported here and in `providers.bedrock.events` only. Whatever asks for credentials (a
file, another process, an address of the machine, AWS's token service) runs in a thread; a signature is made of what is
held.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from gateway_async.credentials.held import Held, Holder
from gateway_async.errors import ConfigError, UpstreamError
from gateway_async.provider_config import AWSBaseConfig, AWSIdAndKey, AWSRole

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

REFRESH_SECONDS = 300.0
"""So long before their end, credentials are replaced; those of a short session, a third of its length before."""

LEAST_SECONDS = 15.0
"""So long credentials are used at least, also such as come with little time left."""

LOOK_SECONDS = 300.0
"""So often credentials of the environment that name no end are looked for again: their file may have others by then."""

ASK_SECONDS = 10.0
"""So long AWS's token service may take to answer, each time that it is tried."""

BEARER_TOKEN = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105 - the name of a variable
"""A Bedrock API key in the environment, which stands before all other credentials there."""

LARGE_BYTES = 2**20
"""A body of this size is signed in a thread, since its hash takes milliseconds; the rest takes 0.1 ms."""

SESSION_NAME = "ai-gateway-bedrock"
"""What AWS's logs call the session of an assumed role."""


class Credentials:
    """The credentials that a configuration names.

    Args:
        provider: Name of the provider, for errors.
        settings: A role, a key pair, or neither for what the environment gives.
        region: Where a role is assumed.
    """

    def __init__(self, provider: str, settings: AWSBaseConfig, region: str) -> None:
        self._provider, self._settings, self._region = provider, settings, region
        self._holder = Holder(self._fetch)

    async def get(self) -> "ReadOnlyCredentials":
        """The credentials of now.

        Raises:
            UpstreamError: There are none to be had.
        """
        return await self._holder.get()

    def _fetch(self) -> "Held[ReadOnlyCredentials]":
        """New credentials; this blocks."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        wrong = (
            BotoCoreError,
            ClientError,
            ResponseParserError,
            OSError,
            LookupError,
            RuntimeError,
            ValueError,
        )
        try:
            if isinstance(self._settings, AWSRole):
                return self._assume(self._settings)
            if isinstance(self._settings, AWSIdAndKey):
                return Held(_pair(self._settings))
            return self._look()
        except wrong as problem:
            raise self._none(str(problem)) from problem

    def _assume(self, role: AWSRole) -> "Held[ReadOnlyCredentials]":
        from botocore.config import Config
        from botocore.credentials import ReadOnlyCredentials
        from botocore.session import Session

        limits = Config(connect_timeout=ASK_SECONDS, read_timeout=ASK_SECONDS)
        sts: Any = Session().create_client("sts", region_name=self._region, config=limits)
        try:
            given = sts.assume_role(
                RoleArn=role.aws_role_arn,
                RoleSessionName=SESSION_NAME,
                DurationSeconds=role.session_length_seconds,
            )["Credentials"]
        finally:
            sts.close()
        frozen = ReadOnlyCredentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        return _until(frozen, given["Expiration"].timestamp())

    def _look(self) -> "Held[ReadOnlyCredentials]":
        """The first that botocore finds: variables, profile, single sign-on, container, machine."""
        from botocore.session import Session

        # A new session looks anew: what one holds itself, it would renew in the midst of a call.
        if (found := Session().get_credentials()) is None:
            raise self._none("the environment gives none; name a role or a key pair in aws_config")
        frozen = found.get_frozen_credentials()
        ends = getattr(found, "_expiry_time", None)  # for which botocore has no public name
        if ends is None:
            return Held(frozen, time.time() + LOOK_SECONDS)
        return _until(frozen, ends.timestamp())

    def _none(self, why: str) -> UpstreamError:
        text = f"{self._provider}: no AWS credentials are to be had: {why}"
        return UpstreamError(text, provider=self._provider)


def _pair(settings: AWSIdAndKey) -> "ReadOnlyCredentials":
    from botocore.credentials import ReadOnlyCredentials

    token = settings.aws_session_token
    key, secret = str(settings.aws_access_key_id), str(settings.aws_secret_access_key)
    return ReadOnlyCredentials(key, secret, None if token is None else str(token))


def _until(frozen: "ReadOnlyCredentials", ends_at: float) -> "Held[ReadOnlyCredentials]":
    now = time.time()
    ahead = min(REFRESH_SECONDS, (ends_at - now) / 3)
    return Held(frozen, max(ends_at - ahead, now + LEAST_SECONDS), ends_at)


class Signer:
    """Puts credentials into the requests to one service in one region.

    Args:
        provider: Name of the provider, for errors.
        settings: Its credentials and its region.
        service: The service's name in a signature.

    Attributes:
        region: The region, which the settings or the environment name.

    Raises:
        ConfigError: The extra is not installed, or no region is named.
    """

    def __init__(self, provider: str, settings: AWSBaseConfig, service: str = "bedrock") -> None:
        try:
            # At once, and not in the first call: it takes a while.
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
        except ImportError:
            text = f"{provider} needs botocore: pip install 'ai-gateway-sdk[bedrock]'"
            raise ConfigError(text) from None
        self._auth, self._request, self._service = SigV4Auth, AWSRequest, service
        self.region = _region(provider, settings)
        self._credentials = Credentials(provider, settings, self.region)
        named = isinstance(settings, AWSRole | AWSIdAndKey)
        self._bearer = None if named else os.environ.get(BEARER_TOKEN)

    def endpoint(self, service: str) -> str:
        """The address of a service in the region, or the one that the environment or the profile names for it.

        Raises:
            ConfigError: There can be no such region.
        """
        from botocore.exceptions import BotoCoreError

        try:
            return _endpoint(service, self.region)
        except (BotoCoreError, ValueError) as problem:
            raise ConfigError(f"the region {self.region!r} has no address: {problem}") from problem

    async def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with what authorizes the request: a signature, or the bearer token.

        Args:
            method: The request's method.
            url: Its address, with what no path may hold percent-encoded.
            headers: Its headers; they are signed too.
            body: Its body.

        Raises:
            UpstreamError: There are no credentials to be had.
        """
        if self._bearer:
            return {**headers, "Authorization": f"Bearer {self._bearer}"}
        credentials = await self._credentials.get()
        sign = partial(self._signed, credentials, method, url, headers, body)
        return sign() if len(body) < LARGE_BYTES else await asyncio.to_thread(sign)

    def _signed(
        self,
        credentials: "ReadOnlyCredentials",
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> dict[str, str]:
        request = self._request(method, url, dict(headers), body)
        self._auth(credentials, self._service, self.region).add_auth(request)
        return dict(request.headers.items())


@cache
def _endpoint(service: str, region: str) -> str:
    from botocore.session import Session

    # A client of botocore's knows it, and is made of large tables: one for all routes of a region. That it is given
    # keys keeps it from looking for some.
    none = "none"
    client: Any = Session().create_client(
        service, region_name=region, aws_access_key_id=none, aws_secret_access_key=none
    )
    try:
        return str(client.meta.endpoint_url)
    finally:
        client.close()


def _region(provider: str, settings: AWSBaseConfig) -> str:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    # AWS's other tools read AWS_REGION too; what botocore itself reads is AWS_DEFAULT_REGION and the profile.
    if named := settings.aws_region or os.environ.get("AWS_REGION"):
        return named
    try:
        found = Session().get_config_variable("region")
    except BotoCoreError as problem:
        raise ConfigError(f"{provider}: the AWS profile can't be read: {problem}") from problem
    if not found:
        text = f"{provider} needs a region: aws_region in aws_config, AWS_REGION, or one in the AWS profile"
        raise ConfigError(text)
    return str(found)
