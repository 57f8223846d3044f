"""Bedrock's credentials: who signs, that the signature is right, and that asking for credentials holds nobody up."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session

from gateway_async import AsyncGatewayClient, GatewayError
from gateway_async.config import AmazonBedrockConfig
from gateway_async.credentials.aws import BEARER_TOKEN, LARGE_BYTES, SESSION_NAME, Signer
from gateway_async.errors import ConfigError, NotSupported, UpstreamError
from tests.providers.cases import CASES, Case
from tests.support.server import running
from tests.support.tasks import others_done
from tests.support.upstream import GATE, MockUpstream, Received, Reply, Step, json_reply

Json = dict[str, Any]

CHAT, STREAM = CASES["bedrock/chat"], CASES["bedrock/stream"]
MODEL = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0"
KEY, SECRET, TOKEN = (
    "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjEXAMPLE/token==",
)
PAIR = {"aws_region": "us-east-1", "aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
ROLE = {"aws_region": "us-east-1", "aws_role_arn": "arn:aws:iam::123456789012:role/bedrock"}
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}


def signer(aws_config: Json) -> Signer:
    """The signer of a configuration."""
    return Signer("bedrock", AmazonBedrockConfig.model_validate({"aws_config": aws_config}).aws_config)


@asynccontextmanager
async def gateway(
    url: str, aws_config: Json, model: str = MODEL, **more: Any
) -> AsyncIterator[AsyncGatewayClient]:
    """A gateway in this process with a route for chat."""
    config = {"aws_config": aws_config, "bedrock_api_base": url, **more}
    route = {
        "name": "chat",
        "endpoint_type": "llm/v1/chat",
        "model": {"provider": "bedrock", "name": model, "config": config},
    }
    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        yield client


def signed_with(request: Received, key: str, secret: str, token: str | None = None) -> bool:
    """Whether botocore, with these credentials, makes of a request as it came in the signature that it has."""
    host = request.headers["host"]
    kind, _, parts = request.headers["authorization"].partition(" ")
    named = dict(part.split("=", 1) for part in parts.split(", "))
    headers = {name: request.headers[name] for name in named["SignedHeaders"].split(";") if name != "host"}
    again = AWSRequest("POST", f"http://{host}{request.path}", headers, request.body)
    again.context["timestamp"] = request.headers["x-amz-date"]
    auth = SigV4Auth(ReadOnlyCredentials(key, secret, token), "bedrock", "us-east-1")
    wanted = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    return (
        kind == "AWS4-HMAC-SHA256"
        and named["Signature"] == wanted
        and named["Credential"] == f"{auth.scope(again)}"
        and request.headers.get("x-amz-security-token") == token
        and ("x-amz-security-token" in headers) == (token is not None)
    )


# --- the signature ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, TOKEN], ids=["a pair", "a session"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", [MODEL, "anthropic.claude-v2:1", "amazon.nova-lite-v1:0", "a b/ü"])
async def test_what_arrives_is_signed(
    model: str, streamed: bool, token: str | None, upstream: MockUpstream
) -> None:
    """The path as it is sent, the body and the headers are those of the signature, whatever stands in a model's id."""
    upstream.reply(
        Reply(content_type=STREAM.stream_type, script=[STREAM.stream_bytes()])
        if streamed
        else json_reply(json.loads(CHAT.upstream_body))
    )
    pair = PAIR if token is None else {**PAIR, "aws_session_token": token}
    async with gateway(upstream.url + "/base/", pair, model) as client:
        if streamed:
            assert [chunk async for chunk in client.stream("chat", HELLO)]
        else:
            assert (await client.query("chat", HELLO))["object"] == "chat.completion"

    assert upstream.request().path.startswith("/base/model/")
    assert signed_with(upstream.request(), KEY, SECRET, token)
    assert not signed_with(upstream.request(), KEY, SECRET + "x", token)


NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class Kept(Exception):
    """A request that is not sent."""

    def __init__(self, request: Any) -> None:
        super().__init__("kept")
        self.request = request


@pytest.mark.parametrize("model", [MODEL, "anthropic.claude-v2:1", "meta.llama3-8b-instruct-v1:0"])
@pytest.mark.parametrize("operation", ["converse", "converse_stream", "invoke_model"])
async def test_the_signature_is_that_of_awss_own_client(
    operation: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same address, and at the same time with the same headers and body the same signature."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOON)

    def keep(request: Any, **_: Any) -> None:
        raise Kept(request)

    client = Session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        aws_session_token=TOKEN,
        config=Config(retries={"max_attempts": 0}),
    )
    client.meta.events.register("before-send.bedrock-runtime", keep)
    asked: Json = {"body": b"{}"} if operation == "invoke_model" else {"messages": []}
    with pytest.raises(Kept) as kept:
        getattr(client, operation)(modelId=model, **asked)
    request = kept.value.request
    headers = {name: _text(value) for name, value in request.headers.items()}
    signed = headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    given = {name: value for name, value in headers.items() if name.lower() in signed}
    body = request.body or b""

    ours = await signer({**PAIR, "aws_session_token": TOKEN}).sign("POST", request.url, given, body)

    assert ours["Authorization"] == headers["Authorization"]
    assert request.url == address(operation, model)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


SAME: Mapping[str, Case] = {
    "converse": CHAT,
    "converse_stream": STREAM,
    "invoke_model": CASES["bedrock/completions_anthropic"],
}
"""botocore's name of an operation → a case of ours that asks for it."""


def address(operation: str, model: str) -> str:
    """Where we send an operation for a model."""
    whose = SAME[operation]
    older = "anthropic.claude-v2"  # a name that every operation has
    path = replace(whose, model={**whose.model, "name": older}).sent().url.rpartition("/")[2]
    base = replace(CHAT, model={**CHAT.model, "name": model}).sent().url.rpartition("/")[0]
    return f"{base}/{path}"


# --- where credentials come from ------------------------------------------------------------------------------------


@pytest.fixture
def bedrock(upstream: MockUpstream) -> MockUpstream:
    """The mock upstream, which answers a chat as Bedrock does."""
    upstream.reply(json_reply(json.loads(CHAT.upstream_body)))
    return upstream


async def ask(url: str, aws_config: Json) -> None:
    """Call the route once."""
    async with gateway(url, aws_config) as client:
        await client.query("chat", HELLO)


async def test_variables(bedrock: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, a session and the region of the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    await ask(bedrock.url, {})

    assert signed_with(bedrock.request(), KEY, SECRET, TOKEN)


async def test_a_profile(bedrock: MockUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys and the region of a profile's files."""
    keys, config = tmp_path / "credentials", tmp_path / "config"
    keys.write_text(f"[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    config.write_text("[profile work]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "work")

    await ask(bedrock.url, {})

    assert signed_with(bedrock.request(), KEY, SECRET)


async def test_a_bearer_token(bedrock: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Bedrock API key of the environment stands before keys there, but not before those of the configuration."""
    monkeypatch.setenv(BEARER_TOKEN, "bedrock-api-key-abc")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")

    await ask(bedrock.url, {"aws_region": "us-east-1"})
    await ask(bedrock.url, PAIR)

    assert bedrock.request().headers["authorization"] == "Bearer bedrock-api-key-abc"
    assert signed_with(bedrock.request(1), KEY, SECRET)


async def test_a_profile_that_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What logs in writes new keys into the file; they are found without a restart."""
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    path.write_text("[default]\naws_access_key_id = AKIDFIRST\naws_secret_access_key = one\n")
    by = signer({"aws_region": "us-east-1"})
    now = time.time()
    first = await sign(by)

    path.write_text("[default]\naws_access_key_id = AKIDSECOND\naws_secret_access_key = two\n")
    monkeypatch.setattr(time, "time", lambda: now + 301)
    await sign(by)
    await others_done()
    second = await sign(by)

    assert "Credential=AKIDFIRST/" in first["Authorization"]
    assert "Credential=AKIDSECOND/" in second["Authorization"]


class Tokens:
    """AWS's token service and a container's address, as a mock upstream answers for them."""

    def __init__(self, upstream: MockUpstream) -> None:
        self.upstream = upstream

    def role(self, *, seconds: float = 900, key: str = KEY, before: float | Step = 0.0) -> None:
        """Give a role's credentials from now on."""
        body = (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
            f"<SessionToken>{TOKEN}</SessionToken><Expiration>{_until(seconds)}</Expiration>"
            "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )
        self.upstream.answer_with(Reply(body.encode(), content_type="text/xml", before=before))

    def container(self, *, seconds: float, key: str = KEY) -> None:
        """Give a container's credentials from now on."""
        given = {"AccessKeyId": key, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": _until(seconds)}
        self.upstream.answer_with(json_reply(given))

    def refuse(self) -> None:
        """Give none."""
        body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not yours</Message></Error></ErrorResponse>"
        self.upstream.answer_with(Reply(body.encode(), 403, "text/xml"))


def _until(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def tokens(upstream: MockUpstream, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    """The token service; the environment has the keys with which it is asked."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDBASE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "base")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", upstream.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    upstream.reply(Reply())
    return Tokens(upstream)


async def sign(by: Signer) -> Mapping[str, str]:
    """The headers of a signed request."""
    return await by.sign(
        "POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/a/converse", {}, b"{}"
    )


async def test_a_role_is_assumed_once(tokens: Tokens) -> None:
    """For as long as the configuration says; then its credentials sign."""
    tokens.role()
    by = signer({**ROLE, "session_length_seconds": 1800})

    headers = [await sign(by) for _ in range(5)]

    assert len(tokens.upstream.received) == 1
    asked = parse_qs(tokens.upstream.request().body.decode())
    assert asked["RoleArn"] == [ROLE["aws_role_arn"]]
    assert asked["DurationSeconds"] == ["1800"]
    assert asked["RoleSessionName"] == [SESSION_NAME]
    assert "Credential=AKIDBASE/" in tokens.upstream.request().headers["authorization"]
    assert {one["X-Amz-Security-Token"] for one in headers} == {TOKEN}
    assert all(f"Credential={KEY}/" in one["Authorization"] for one in headers)


async def test_many_who_wait_ask_once_and_hold_nobody_up(tokens: Tokens) -> None:
    """While the token service thinks, the loop goes on; and one who leaves takes nothing from the others."""
    tokens.role(before=GATE)
    by = signer(ROLE)
    waiting = [asyncio.create_task(sign(by)) for _ in range(50)]
    await asyncio.to_thread(tokens.upstream.request)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    assert not any(task.done() for task in waiting[1:])

    tokens.upstream.open_gate()

    assert {one["X-Amz-Security-Token"] for one in await asyncio.gather(*waiting[1:])} == {TOKEN}
    assert waiting[0].cancelled()
    assert len(tokens.upstream.received) == 1


async def test_credentials_are_renewed_before_they_end(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role's session of 15 minutes is good for ten, also where new credentials are not to be had at once."""
    tokens.role(key="AKIDFIRST")
    by = signer(ROLE)
    first = await sign(by)
    now = time.time()

    tokens.refuse()
    monkeypatch.setattr(time, "time", lambda: now + 650)
    still = await sign(by)
    await others_done()
    tokens.role(key="AKIDSECOND", seconds=1500)
    monkeypatch.setattr(time, "time", lambda: now + 700)
    await sign(by)
    await others_done()
    second = await sign(by)

    assert [one["Authorization"].split("=")[1].split("/")[0] for one in (first, still, second)] == [
        "AKIDFIRST",
        "AKIDFIRST",
        "AKIDSECOND",
    ]


async def test_a_containers_credentials(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from an address, and are asked for anew before they end, not for each call."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{tokens.upstream.url}/credentials")
    tokens.container(seconds=3600)
    by = signer({"aws_region": "us-east-1"})

    headers = [await sign(by) for _ in range(3)]

    assert len(tokens.upstream.received) == 1
    assert {one["X-Amz-Security-Token"] for one in headers} == {TOKEN}


async def test_a_role_that_may_not_be_assumed_is_no_fault_of_the_callers(tokens: Tokens) -> None:
    """It is a 502 with AWS's words, for all who ask."""
    tokens.refuse()

    async with gateway(tokens.upstream.url, ROLE) as client:
        with pytest.raises(UpstreamError, match=r"AccessDenied.*not yours") as failed:
            await client.query("chat", HELLO)

    assert failed.value.status == 502


async def test_an_answer_of_the_token_service_that_is_none_is_told(tokens: Tokens) -> None:
    """As where a proxy answers in its place."""
    tokens.upstream.answer_with(Reply(b"<html>", 200, "text/html"))

    with pytest.raises(UpstreamError, match="no AWS credentials are to be had: Unable to parse response"):
        await sign(signer(ROLE))


async def test_no_credentials_are_no_fault_of_the_callers(upstream: MockUpstream) -> None:
    """It is a 502 that says what to do, and nothing is sent."""
    async with gateway(upstream.url, {"aws_region": "us-east-1"}) as client:
        with pytest.raises(UpstreamError, match="the environment gives none; name a role or a key pair"):
            await client.query("chat", HELLO)

    assert upstream.received == []


async def test_credentials_never_show_though_aws_repeats_them(
    upstream: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a signature is wrong, AWS tells what it signed itself: the session's token stands in it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    said = f"The Canonical String should have been\n'POST\nx-amz-security-token:{TOKEN}\n'"
    upstream.reply(json_reply({"message": said}, 403))

    async with gateway(upstream.url, {"aws_region": "us-east-1"}) as client:
        with pytest.raises(UpstreamError, match="Canonical String") as failed:
            await client.query("chat", HELLO)
        with pytest.raises(UpstreamError, match="Canonical String") as streamed:
            [chunk async for chunk in client.stream("chat", HELLO)]

    for error in (failed, streamed):
        assert TOKEN not in f"{error.value!r} {error.value.detail} {error.value.args}"


# --- where to ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "region"),
    [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2")],
)
def test_the_region_is_the_environments(variable: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the configuration names none."""
    monkeypatch.setenv(variable, region)

    by = signer({})

    assert by.region == region
    assert by.endpoint("bedrock-runtime") == f"https://bedrock-runtime.{region}.amazonaws.com"


def test_no_region_is_refused_with_the_ways_to_name_one() -> None:
    """It is an error of the configuration."""
    with pytest.raises(ConfigError, match="aws_region in aws_config, AWS_REGION"):
        signer({})


def test_a_profile_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(ConfigError, match="nobody"):
        signer({})


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-northwest-1", "bedrock-runtime.cn-northwest-1.amazonaws.com.cn"),
    ],
)
def test_each_part_of_aws_has_its_own_addresses(region: str, host: str) -> None:
    """botocore knows them."""
    assert signer({**PAIR, "aws_region": region}).endpoint("bedrock-runtime") == f"https://{host}"


def test_a_region_that_can_not_be_is_refused() -> None:
    """It would be part of an address."""
    with pytest.raises(ConfigError, match=r"example\.com"):
        signer({**PAIR, "aws_region": "example.com/"}).endpoint("bedrock-runtime")


async def test_without_botocore_the_route_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra; other routes are served."""
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    offline = {
        "name": "echo",
        "endpoint_type": "llm/v1/chat",
        "model": {"provider": "offline", "name": "echo"},
    }
    bedrock = {**offline, "name": "bedrock", "model": CHAT.model}

    async with AsyncGatewayClient.local({"endpoints": [offline, bedrock]}) as client:
        with pytest.raises(NotSupported, match=r"pip install 'ai-gateway-sdk\[bedrock\]'"):
            await client.query("bedrock", HELLO)
        assert await client.query("echo", HELLO)


async def test_the_upstreams_id_of_a_request_is_kept(bedrock: MockUpstream) -> None:
    """For whoever asks AWS about it."""
    bedrock.reply(json_reply({"message": "no"}, 400, x_amzn_requestid="f2d4a2b1"))

    async with gateway(bedrock.url, PAIR) as client:
        with pytest.raises(GatewayError) as failed:
            await client.query("chat", HELLO)

    assert getattr(failed.value, "upstream_request_id", None) == "f2d4a2b1"
    assert urlsplit(bedrock.request().path).query == ""


def test_a_running_gateway_signs_what_it_sends(
    bedrock: MockUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own, asked over a socket: whole and streamed, small and large."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    config = {"aws_config": {"aws_region": "us-east-1"}, "bedrock_api_base": bedrock.url}
    model = {"provider": "amazon-bedrock", "name": MODEL, "config": config}
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": model}
    large = {"messages": [{"role": "user", "content": "x" * (LARGE_BYTES + 1)}]}

    with running(tmp_path, {"endpoints": [route]}) as server, server.client() as client:
        for body in (HELLO, large):
            answer = client.post("/gateway/chat/invocations", json=body)
            assert answer.json()["choices"][0]["message"]["content"] == "Here are three pop songs."
        bedrock.answer_with(Reply(content_type=STREAM.stream_type, script=[STREAM.stream_bytes()]))
        with client.stream("POST", "/gateway/chat/invocations", json={**HELLO, "stream": True}) as streamed:
            text = streamed.read().decode()

    assert "Here are" in text
    assert [request.path.rpartition("/")[2] for request in bedrock.received] == [
        "converse",
        "converse",
        "converse-stream",
    ]
    assert all(signed_with(request, KEY, SECRET, TOKEN) for request in bedrock.received)
    assert SECRET not in server.log
    assert TOKEN not in server.log
