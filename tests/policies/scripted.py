"""Destinations that do what a test says, without a network and in a loop whose time passes at once."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import pytest

from gateway_async.call import Answer, Call, Handler, StreamAnswer
from gateway_async.config import RouteConfig, RouteType
from gateway_async.config_file import load_config
from gateway_async.errors import (
    GatewayError,
    InvalidRequest,
    NotSupported,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway_async.policies import target, tries
from gateway_async.policies.destinations import with_destinations
from gateway_async.policies.target import Target
from gateway_async.policies.tries import Tries

T = TypeVar("T")

ATTEMPTS = "x-gateway-attempts"


class _NoWait(selectors.DefaultSelector):
    """Waits for nothing: time goes on instead."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        if found := super().select(0):
            return found
        if timeout is None:
            return super().select(10)
        self.now += max(timeout, 0)
        return found


class QuickLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes at once when nothing is left to do."""

    def __init__(self) -> None:
        self._passing = _NoWait()
        super().__init__(self._passing)

    def time(self) -> float:
        """Now."""
        return self._passing.now


def quickly(run: Callable[[], Awaitable[T]]) -> T:
    """What comes of it in such a loop; the policies have its time too."""

    async def running() -> T:
        with pytest.MonkeyPatch.context() as patch:
            for module in (target, tries):
                patch.setattr(module, "time", SimpleNamespace(monotonic=asyncio.get_running_loop().time))
            return await run()

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(running())


OK = "ok"
FAILURES: dict[str, Callable[[], GatewayError]] = {
    "500": lambda: _of(UpstreamError, 500),
    "503": lambda: _of(UpstreamUnavailable, 503),
    "408": lambda: _of(UpstreamTimeout, 408),
    "429": lambda: _of(UpstreamRefused, 429),
    "429 for 0.5": lambda: _of(UpstreamRefused, 429, retry_after=0.5),
    "429 for 5": lambda: _of(UpstreamRefused, 429, retry_after=5),
    "429 for 60": lambda: _of(UpstreamRefused, 429, retry_after=60),
    "429 endless": lambda: _of(UpstreamRefused, 429, passes=False),
    "unreached": lambda: _of(UpstreamUnavailable, None, reached=False),
    "unreached in time": lambda: _of(UpstreamTimeout, None, reached=False),
    "timeout": lambda: _of(UpstreamTimeout, None),
    "broken off": lambda: _of(UpstreamUnavailable, None),
    "garbage": lambda: _of(UpstreamInvalid, None),
    "401": lambda: _of(UpstreamError, 401),
    "404": lambda: _of(UpstreamRefused, 404),
    "400": lambda: _of(UpstreamRefused, 400),
    "409 for 60": lambda: _of(UpstreamRefused, 409, retry_after=60),
    "too long": lambda: _of(UpstreamRefused, 400, refusal="context_length"),
    "forbidden": lambda: _of(UpstreamRefused, 400, refusal="content_policy"),
    "cannot carry": lambda: InvalidRequest.field("tools", "nothing for it"),
    "cannot stream": lambda: NotSupported("no streams"),
}
"""What a destination may do beside answering."""

NEVER_SENT = {"cannot carry", "cannot stream"}
"""What is known before anything is sent."""

REASONS = {
    **dict.fromkeys(("500", "503", "unreached", "broken off", "garbage", "401", "404"), "failure"),
    **dict.fromkeys(("408", "timeout", "unreached in time"), "timeout"),
    **dict.fromkeys(("429", "429 for 0.5", "429 for 5", "429 for 60", "429 endless"), "rate_limit"),
    "too long": "context_length",
    "forbidden": "content_policy",
}
"""Why another destination may be asked after each; those that are not here are the caller's fault."""

MAY_PASS = {
    *("500", "503", "408", "429", "429 for 0.5", "429 for 5", "429 for 60", "unreached", "unreached in time")
}
"""After which the same destination may be asked again."""


def _of(kind: type[UpstreamError], status: int | None, **facts: Any) -> UpstreamError:
    error = kind("no", upstream_status=status)
    for name, value in facts.items():
        setattr(error, name, value)
    return error


@dataclass
class Asked:
    """One request that came to a destination."""

    name: str
    outcome: str
    at: float


class Stream:
    """A stream of two chunks that ends as its destination's script says."""

    headers: tuple[tuple[str, str], ...] = ((ATTEMPTS, "1"),)

    def __init__(self, outcome: str) -> None:
        self._left: list[Sequence[bytes] | Exception] = [[b"1"], [b"2"]]
        if outcome != OK:
            self._left[1] = FAILURES[outcome]()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        if not self._left:
            raise StopAsyncIteration
        step = self._left.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass
class World:
    """Destinations with scripts, and what was asked of them.

    Each of a script's outcomes is what one request meets; when they are used up the destination answers. Behind an
    outcome may stand how many seconds it takes: `("500", 3.0)`. `then X` is a stream that begins well.
    """

    scripts: dict[str, list[str | tuple[str, float]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def handler(self, name: str) -> Handler:
        """What asks a destination."""

        async def ask(call: Call) -> Answer | StreamAnswer:
            script = self.scripts.get(name)
            step = script.pop(0) if script else OK
            outcome, seconds = (step, 0.0) if isinstance(step, str) else step
            self.asked.append(Asked(name, outcome, asyncio.get_running_loop().time()))
            self._came.set()
            if seconds:
                await asyncio.sleep(seconds)
            if outcome != OK and not outcome.startswith("then "):
                raise FAILURES[outcome]()
            return Stream(outcome.removeprefix("then ")) if call.stream else Answer(b"{}", ((ATTEMPTS, "1"),))

        return ask

    async def asked_so_often(self, times: int) -> None:
        """Wait until so many requests have come, and what follows from the last is done."""
        while len(self.asked) < times:
            self._came.clear()
            await self._came.wait()
        await asyncio.sleep(0)

    @property
    def order(self) -> str:
        """Who was asked, in turn."""
        return "".join(each.name for each in self.asked)

    @property
    def times(self) -> list[float]:
        """When, from the first on."""
        return [each.at - self.asked[0].at for each in self.asked]

    def route(self, *groups: str, **settings: Any) -> Tries:
        """A route whose destinations are named by letters, one group for each priority: `"ab", "c"`."""
        config = route_config(groups, **settings)
        handler = with_destinations([(name, self.handler(name)) for name in "".join(groups)], config)
        assert isinstance(handler, Tries)
        return handler


def route_config(groups: Iterable[str], **settings: Any) -> RouteConfig:
    """The configuration of a route."""
    model = {"provider": "offline", "name": "echo"}
    destinations = [
        {"model": model, "priority": number} for number, group in enumerate(groups, 1) for _ in group
    ]
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "destinations": destinations, **settings}
    return load_config({"endpoints": [route]}).routes[0]


def a_call(*, stream: bool = False, seconds: float | None = None) -> Call:
    """A call, with so many seconds of its caller's."""
    call = Call("chat", RouteType.LLM_V1_CHAT, {}, stream)
    if seconds is not None:
        call.deadline, call.hurried = asyncio.get_running_loop().time() + seconds, True
    return call


def attempts(told: Answer | StreamAnswer | GatewayError) -> int:
    """How many attempts an answer or an error tells of."""
    (found,) = [value for name, value in told.headers if name == ATTEMPTS]
    return int(found)


def targets_of(route: Tries) -> Iterator[Target]:
    """Its destinations."""
    for group in route._groups:
        yield from group
