"""Where routes that were made over the API may lead: to the internet, and to what the operator lists.

What counts is the address that is dialled, whatever the name in front of it or the spelling of it. Allowed without
being listed is what the registries of IANA call globally reachable and what is unicast; an IPv4 address that is written
or translated into IPv6 is as allowed as that is, and a tunnel is not.

https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from gateway_async.config import Model
from gateway_async.errors import InvalidRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESOLVE_SECONDS = 3.0
"""So long `check_address` waits for a name's addresses; a name without any by then is checked when it is dialled."""

METADATA = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",  # AWS, Azure, Google, Oracle, OpenStack …
        "169.254.170.2",  # credentials of AWS's containers
        "169.254.170.23",  # and of its Kubernetes
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's own services, at an address that is public elsewhere
        "192.0.0.192",  # Oracle, formerly
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:42::42",  # Scaleway
        "fe80::a9fe:a9fe",  # OpenStack
    )
)
"""Where clouds give a machine its credentials. A network that holds one does not allow it; it must be listed itself."""

_KINDS: Sequence[tuple[Network, str]] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a shared private"),
        ("127.0.0.0/8", "a loopback"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a reserved"),
        ("192.0.2.0/24", "a documentation"),
        ("192.88.99.0/24", "a tunnel's"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a benchmarking"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("2001::/23", "a reserved"),  # Teredo, benchmarks, ORCHID
        ("2001:db8::/32", "a documentation"),
        ("2002::/16", "a tunnel's"),
        ("3fff::/20", "a documentation"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a private"),
        ("ff00::/8", "a multicast"),
    )
)
_UNICAST = IPv6Network("2000::/3")
_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_ISATAP = {0x5EFE, 0x0200_5EFE}


class ForbiddenAddress(ValueError):
    """A name or an address that a route made over the API may not reach.

    Attributes:
        host: As the route's address has it.
        address: What it leads to. The message does not repeat it: callers need not learn what a name means inside.
    """

    def __init__(self, host: str, address: str, kind: str, wanted: str) -> None:
        super().__init__(
            f"{host} leads to {kind} address, where routes made over the API may not go; the operator can allow"
            f" {wanted} in upstream.allow_networks, or write the route into the configuration file"
        )
        self.host, self.address = host, address


class NetworkGuard:
    """Says whether addresses may be dialled.

    Args:
        allow_networks: Networks beside the public ones, such as `10.0.0.0/8`.
        on_refusal: Told of each refusal while a call's connection is made: the host, and the address or the proxy
            behind it.
    """

    def __init__(
        self, allow_networks: Iterable[str] = (), *, on_refusal: Callable[[str, str], None] | None = None
    ) -> None:
        self._allowed = tuple(ip_network(network) for network in allow_networks)
        self._on_refusal = on_refusal

    def admit(self, host: str, addresses: Iterable[str]) -> None:
        """Accept what a connection is about to be made to, or tell `on_refusal` and refuse it; see `check`."""
        try:
            self.check(host, addresses)
        except ForbiddenAddress as refused:
            self.note(refused.host, refused.address)
            raise

    def note(self, host: str, where: str) -> None:
        """Tell `on_refusal` that a host, and what it leads to, was refused."""
        if self._on_refusal is not None:
            self._on_refusal(host, where)

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Accept the addresses of a host, every one.

        Args:
            host: Its name, for messages.
            addresses: As the resolver gives them.

        Raises:
            ForbiddenAddress: One of them may not be reached.
        """
        for written in addresses:
            address = ip_address(written.partition("%")[0])  # behind it the interface
            if (kind := kind_of(address)) is not None and not self._lists(address):
                wanted = "that very address" if _carried(address) in METADATA else "its network"
                raise ForbiddenAddress(host, written, kind, wanted)

    def _lists(self, address: Address) -> bool:
        carried = _carried(address)
        return any(
            (address in network or carried in network)
            and (carried not in METADATA or network.num_addresses == 1)
            for network in self._allowed
        )


def kind_of(address: Address) -> str | None:
    """What keeps an address from being one of the internet, with its article: 'a private'; None if nothing does."""
    carried = _carried(address)
    if carried in METADATA:
        return "a metadata service's"
    for network, kind in _KINDS:
        if carried in network:
            return kind
    return None if isinstance(carried, IPv4Address) or carried in _UNICAST else "a reserved"


def addresses_in(model: Model) -> Iterator[tuple[str, str]]:
    """The addresses in a provider's settings, each with the setting's name, its parts divided by dots."""
    yield from _addresses(model.config, ())


async def check_address(place: str, url: str, guard: NetworkGuard) -> None:
    """Accept an address in a route that is being made. What is dialled for a call is checked again each time.

    Args:
        place: Where it stands in the route: `model.config.openai_api_base`, for the message.
        url: An http:// or https:// address. A name that has no address now is accepted.
        guard: What may be reached.

    Raises:
        InvalidRequest: It leads where such a route may not go, or nowhere.
    """
    try:
        host = urlsplit(url).hostname or ""
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        guard.check(host, [str(place[0]) for *_, place in found])
    except ForbiddenAddress as refused:
        raise InvalidRequest.field(place, str(refused)) from None
    except ValueError:
        raise InvalidRequest.field(place, "its host is no name of a host") from None
    except OSError:  # a TimeoutError among them
        return


def _addresses(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What of a value would lead somewhere: whatever is written like an address, whether its type says so or not."""
    if isinstance(value, BaseModel):
        value = dict(value)
    elif isinstance(value, list | tuple | set | frozenset):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _addresses(inner, (*at, str(name)))
    elif isinstance(value, str) and value.lower().startswith(("http://", "https://")):
        yield ".".join(at), value


def _carried(address: Address) -> Address:
    """The IPv4 address to which a packet to an IPv6 address goes in the end, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in network for network in _CARRIERS):
        return last
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP and kind_of(last) is not None:
        return last
    return address
