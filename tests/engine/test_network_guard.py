"""Where routes made over the API may lead: what counts is the address that is dialled."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.config import Model, RouteConfig, TimeoutsConfig
from gateway_async.config_file import load_config
from gateway_async.errors import GatewayError, InvalidRequest, UpstreamError
from gateway_async.gateway import Gateway
from gateway_async.network_guard import (
    METADATA,
    ForbiddenAddress,
    NetworkGuard,
    addresses_in,
    check_address,
    kind_of,
)
from gateway_async.providers._base import UpstreamRequest
from gateway_async.upstream import Upstream
from tests.support.configs import HELLO, upstream_route
from tests.support.upstream import MockUpstream, Reply, chat

NOT_GLOBAL = (
    # https://www.iana.org/assignments/iana-ipv4-special-registry: all that is not "globally reachable".
    *(
        "0.0.0.0/8",
        "0.0.0.0/32",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
    ),
    *("192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24"),
    *(
        "192.88.99.0/24",
        "192.88.99.2/32",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
    ),
    *("240.0.0.0/4", "255.255.255.255/32"),
    # https://www.iana.org/assignments/iana-ipv6-special-registry: the same, and what it calls "N/A".
    *(
        "::1/128",
        "::/128",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",
        "2001::/32",
        "2001:2::/48",
    ),
    *("2001:10::/28", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10"),
    # What is no unicast, and what was something once.
    *("224.0.0.0/4", "ff00::/8", "fec0::/10", "::/96", "4000::/2", "8000::/1"),
)

GLOBAL = (
    *(
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
    ),
    *(
        "192.169.0.0",
        "11.0.0.0",
        "9.255.255.255",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
    ),
    *(
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.31.196.1",
        "192.175.48.1",
    ),
    *(
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
        "2001:4860:4860::8888",
        "2620:4f:8000::1",
        "2003::",
    ),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2400:cb00::5efe:808:808"),
)

IN_DISGUISE = {
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped private": "::ffff:a00:1",
    "mapped metadata": "::ffff:169.254.169.254",
    "mapped unspecified": "::ffff:0.0.0.0",
    "compatible": "::127.0.0.1",
    "compatible private": "::10.0.0.1",
    "6to4": "2002:7f00:1::",
    "6to4 of a public address": "2002:808:808::1",
    "Teredo": "2001:0:a00:1::f5ff:fffe",
    "NAT64": "64:ff9b::127.0.0.1",
    "NAT64 metadata": "64:ff9b::a9fe:a9fe",
    "local NAT64": "64:ff9b:1::127.0.0.1",
    "translated": "::ffff:0:127.0.0.1",
    "ISATAP": "2400:cb00::5efe:10.0.0.1",
    "ISATAP of a public address": "2400:cb00::200:5efe:192.168.0.1",
    "with an interface": "fe80::1%eth0",
    "loopback with an interface": "::1%lo",
    "mapped with an interface": "::ffff:10.0.0.1%1",
}


def refused(address: str, *networks: str) -> bool:
    """Whether it may not be dialled."""
    try:
        NetworkGuard(networks).check("some.example", [address])
    except ForbiddenAddress:
        return True
    return False


@pytest.mark.parametrize("network", NOT_GLOBAL)
def test_what_is_not_of_the_internet_is_refused(network: str) -> None:
    """From the first address of each network of the registries to its last."""
    first, last = ip_network(network)[0], ip_network(network)[-1]
    within = ip_network(network)[ip_network(network).num_addresses // 2]

    assert [address for address in (first, within, last) if kind_of(address) is None] == []


@pytest.mark.parametrize("address", GLOBAL)
def test_the_internet_is_reached(address: str) -> None:
    """Also right before and right behind what is not of it."""
    assert not refused(address)


@pytest.mark.parametrize("address", IN_DISGUISE.values(), ids=IN_DISGUISE)
def test_an_address_in_another_is_seen(address: str) -> None:
    """Whatever tunnel or translation would carry a packet there."""
    assert refused(address)


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_nothing_passes_that_python_calls_private(address: IPv4Address | IPv6Address) -> None:
    """It has a list of its own, with gaps of its own."""
    if kind_of(address) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved or address in ip_network("64:ff9b::/96")


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_a_translated_address_is_as_good_as_what_it_carries(address: IPv4Address) -> None:
    """No better, and no worse."""
    for form in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert kind_of(ip_address(form)) == kind_of(address)


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_a_metadata_service_is_allowed_by_itself_only(address: str) -> None:
    """Who opens a network for a server in it does not mean the machine's credentials."""
    around = [str(ip_network(f"{address}/{bits}", strict=False)) for bits in (0, 8, 16, 24, 31)]

    assert refused(address)
    assert refused(address, *around)
    assert not refused(address, address)
    if ":" not in address:
        assert refused(f"::ffff:{address}", "::/0", "::ffff:0:0/96", *around)
        assert not refused(f"::ffff:{address}", address)


def test_what_the_operator_lists_is_reached() -> None:
    """That, in each of its spellings, and nothing beside it."""
    assert not refused("10.1.2.3", "10.1.0.0/16")
    assert not refused("::ffff:10.1.2.3", "10.1.0.0/16")
    assert not refused("fe80::1%eth0", "fe80::/64")
    assert refused("10.2.0.1", "10.1.0.0/16")
    assert refused("127.0.0.1", "10.0.0.0/8", "fc00::/7")


def test_a_refusal_says_what_and_how_to_allow_it() -> None:
    """With the host that the caller knows; what it means inside is for the audit log."""
    with pytest.raises(ForbiddenAddress) as problem:
        NetworkGuard().check("db.example", ["10.20.30.40"])

    said = str(problem.value)
    assert "db.example leads to a private address" in said
    assert "upstream.allow_networks" in said
    assert "10.20.30.40" not in said
    assert (problem.value.host, problem.value.address) == ("db.example", "10.20.30.40")


# --- when a route is made ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "017700000001",
        ),
        *("0", "0.0.0.0", "①②⑦.0.0.1", "１２７.1", "127。0。0。1", "localhost", "LOCALHOST"),
        *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1%lo]"),
        *(
            "user@127.0.0.1",
            "8.8.8.8@127.0.0.1",
            "0xa9fea9fe",
            "2852039166",
            "169.254.43518",
            "0251.0376.0251.0376",
        ),
        *("[64:ff9b::169.254.169.254]", "[2002:7f00:1::]", "10.0.0.1", "192.168.1.1:8080"),
    ],
)
async def test_no_spelling_of_an_address_hides_it(host: str) -> None:
    """Whatever a resolver of this machine would make of it."""
    with pytest.raises(InvalidRequest, match=r"upstream\.allow_networks") as problem:
        await check_address("model.config.openai_api_base", f"http://{host}/v1", NetworkGuard())

    assert isinstance(problem.value.detail, list)
    assert problem.value.detail[0]["loc"] == ["body", "model", "config", "openai_api_base"]


async def test_a_name_that_nobody_knows_yet_is_accepted(resolver: "Resolver") -> None:
    """It is asked again for each connection."""
    resolver.fails()

    await check_address("api_base", "https://later.example/v1", NetworkGuard())


async def test_a_resolver_that_hangs_does_not_hold_up_a_change(
    resolver: "Resolver", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is accepted then, and checked when it is dialled."""
    monkeypatch.setattr("gateway_async.network_guard.RESOLVE_SECONDS", 0.05)
    resolver.hangs()

    await check_address("api_base", "https://slow.example/v1", NetworkGuard())


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", "[::1"])
async def test_what_is_no_name_of_a_host_is_refused(host: str) -> None:
    """By the setting's name."""
    with pytest.raises(InvalidRequest, match="api_base"):
        await check_address("api_base", f"https://{host}/v1", NetworkGuard())


def test_every_address_of_the_settings_is_found() -> None:
    """At any depth, and whatever type a plugin gives it."""
    settings = {
        "aws_config": {"aws_access_key_id": "a", "aws_secret_access_key": "b"},
        "bedrock_api_base": "HTTP://a",
    }
    model = Model.model_validate({"provider": "bedrock", "name": "https://no.address", "config": settings})

    assert list(addresses_in(model)) == [("bedrock_api_base", "HTTP://a")]


# --- when it is dialled -----------------------------------------------------------------------------------------------


class Resolver:
    """Says what names mean in a test's loop: a script of answers, the last of which stays."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked: list[str] = []
        self._own: Callable[..., Any] = loop.getaddrinfo
        self._answers: list[Sequence[str] | Exception | None] = []
        loop.getaddrinfo = self._answer  # type: ignore[method-assign, assignment] # for this test's loop alone

    def answers(self, *answers: Sequence[str]) -> None:
        """Give these addresses, one list after the other."""
        self._answers = list(answers)

    def fails(self) -> None:
        """Know no name."""
        self._answers = [socket.gaierror(socket.EAI_NONAME, "unknown")]

    def hangs(self) -> None:
        """Never answer."""
        self._answers = [None]

    async def _answer(self, host: str, port: int | None, **more: Any) -> Any:
        self.asked.append(host)
        if not self._answers:
            return await self._own(host, port, **more)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        found = [await self._own(address, port, **more) for address in answer]
        return [place for places in found for place in places]


@pytest.fixture
async def resolver() -> Resolver:
    """The resolver of this test."""
    return Resolver(asyncio.get_running_loop())


@asynccontextmanager
async def way(guard: NetworkGuard | None) -> AsyncIterator[Upstream]:
    """A way to upstreams."""
    async with Upstream(guard) as upstream:
        yield upstream


def port_of(upstream: MockUpstream) -> str:
    """Its port."""
    return upstream.url.rpartition(":")[2]


async def ask(way: Upstream, url: str) -> int:
    """The status of an answer."""
    return (await way.send(UpstreamRequest(url, {}, b"{}"), TimeoutsConfig())).status


async def test_a_name_that_changes_its_meaning_is_caught(upstream: MockUpstream, resolver: Resolver) -> None:
    """Public when the route was made, this machine when it is called: what counts is the second answer."""
    guard, url = NetworkGuard(), f"http://rebind.example:{port_of(upstream)}/"
    resolver.answers(["8.8.8.8"], ["127.0.0.1"])
    await check_address("api_base", url, guard)

    async with way(guard) as guarded:
        with pytest.raises(UpstreamError, match=r"rebind\.example.* a loopback address"):
            await ask(guarded, url)

    assert upstream.received == []


@pytest.mark.parametrize("answer", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["127.0.0.1", "::1"]])
async def test_one_forbidden_address_among_several_refuses_all(
    upstream: MockUpstream, resolver: Resolver, answer: list[str]
) -> None:
    """Which of them would be dialled is a race."""
    resolver.answers(answer)

    async with way(NetworkGuard()) as guarded:
        with pytest.raises(UpstreamError, match="loopback"):
            await ask(guarded, f"http://mixed.example:{port_of(upstream)}/")

    assert upstream.received == []


async def test_a_refusal_is_no_passing_failure_and_is_told_to_the_audit_log(resolver: Resolver) -> None:
    """502, which no retry mends; the log learns the address, the caller does not."""
    told: list[tuple[str, str]] = []
    resolver.answers(["192.168.7.9"])

    async with way(NetworkGuard(on_refusal=lambda *refusal: told.append(refusal))) as guarded:
        with pytest.raises(UpstreamError) as problem:
            await ask(guarded, "https://inside.example/secret")

    assert problem.value.status == 502
    assert problem.value.error_code == "BAD_GATEWAY"
    assert told == [("inside.example", "192.168.7.9")]
    assert "192.168" not in problem.value.message
    assert "secret" not in problem.value.message


async def test_a_checked_connection_serves_again(upstream: MockUpstream, resolver: Resolver) -> None:
    """It leads where it led; the name is not asked again."""
    url = f"http://inside.example:{port_of(upstream)}/"
    resolver.answers(["127.0.0.1"], ["10.0.0.1"])

    async with way(NetworkGuard(["127.0.0.0/8"])) as guarded:
        assert await ask(guarded, url) == await ask(guarded, url) == 200

    assert resolver.asked == ["inside.example"]


async def test_a_connection_of_the_file_s_routes_serves_no_guarded_one(upstream: MockUpstream) -> None:
    """However warm it is."""
    async with way(None) as free, way(NetworkGuard()) as guarded:
        assert await ask(free, upstream.url) == 200
        with pytest.raises(UpstreamError, match="loopback"):
            await ask(guarded, upstream.url)
        assert await ask(free, upstream.url) == 200


async def test_a_stream_is_guarded_too(upstream: MockUpstream) -> None:
    """It is the same connection."""
    async with way(NetworkGuard()) as guarded:
        with pytest.raises(UpstreamError, match="loopback"):
            await guarded.open(UpstreamRequest(upstream.url, {}, b"{}"), TimeoutsConfig())


async def test_a_proxy_is_not_taken_for_a_guarded_request(
    upstream: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would dial for us, whatever it likes; hosts that go past it are reached."""
    monkeypatch.setenv("http_proxy", upstream.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    async with way(NetworkGuard(["127.0.0.0/8"])) as guarded:
        with pytest.raises(UpstreamError, match=r"api\.example.*proxy.*NO_PROXY.*configuration file"):
            await ask(guarded, "http://api.example/")
        assert upstream.received == []
        assert await ask(guarded, upstream.url) == 200


# --- in the engine ----------------------------------------------------------------------------------------------------


def gateway_with(route: dict[str, Any], guard: NetworkGuard) -> Gateway:
    """A gateway with this one route, made over the API."""
    gateway = Gateway(load_config({"endpoints": []}))
    gateway.confine(guard)
    gateway.serve([], guarded=[RouteConfig.model_validate(route)])
    return gateway


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/", "http://127.0.0.1:{port}/other", "/other"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    upstream: MockUpstream, resolver: Resolver, status: int, target: str
) -> None:
    """It is the upstream's failure, wherever it points."""
    upstream.reply(Reply(status=status, headers={"location": target.format(port=port_of(upstream))}))

    async with gateway_with(
        upstream_route("up", "chat", upstream.url), NetworkGuard(["127.0.0.1/32"])
    ) as gateway:
        with pytest.raises(GatewayError) as problem:
            await gateway.handle(gateway.find("up"), HELLO)

    assert problem.value.status == 502
    assert len(upstream.received) == 1
    assert set(resolver.asked) == {"127.0.0.1"}


async def test_a_route_of_the_file_goes_where_one_of_the_api_may_not(upstream: MockUpstream) -> None:
    """The same address, by the operator's own word."""
    upstream.reply(chat("Hello"))
    route = RouteConfig.model_validate(upstream_route("up", "chat", upstream.url))
    async with Gateway(load_config({"endpoints": []})) as gateway:
        gateway.serve([], guarded=[route])
        with pytest.raises(UpstreamError, match="loopback"):
            await gateway.handle(gateway.find("up"), HELLO)
        gateway.serve([route])
        await gateway.handle(gateway.find("up"), HELLO)
