"""What a gateway has to make of each behaviour of the chaos upstream: the table that the storm is held to."""

from dataclasses import dataclass

from tests.faults.storm.process import ChaosProcess, Json, route
from tests.support.ports import closed_port

QUICK: Json = {"connect": 2, "first_byte": 1.5, "idle": 1, "total": 3}
"""How long routes in the storm wait."""

SLOWEST = 3.0
"""No route waits longer than so many seconds."""


@dataclass(frozen=True)
class Wanted:
    """The verdicts that may be, for a whole answer and for a stream."""

    whole: frozenset[str]
    stream: frozenset[str]


def both(*words: str) -> Wanted:
    """The same for both."""
    return Wanted(frozenset(words), frozenset(words))


def each(whole: str, stream: str) -> Wanted:
    """One for each; several have a bar between them."""
    return Wanted(frozenset(whole.split("|")), frozenset(stream.split("|")))


WANTED = {
    # right, however odd
    **dict.fromkeys(
        ("ok", "slow=0.3", "drip", "hints-first", "chunk-extensions", "until-closed"), both("right")
    ),
    **dict.fromkeys(("crlf", "cr", "no-mark", "thinks-aloud", "smuggled", "after-done"), both("right")),
    "early": both("right"),
    # a connection that was closed in the moment in which it was used again can't be told from one that broke
    "close-some-time": both("right", "502"),
    "always-whole": each("right", "502"),
    "always-stream": each("502", "right"),
    # not there
    "refuses": both("503"),
    "connect-hangs": both("504"),
    "reset-on-connect": both("502", "503"),
    **dict.fromkeys(("hang", "slow=30", "interim", "endless-head", "head-then-hang"), both("504")),
    **dict.fromkeys(("half-head-then-hang", "switches"), both("502", "504")),
    **dict.fromkeys(("reset", "close", "half-head-then-close"), both("502")),
    # breaks off
    **dict.fromkeys(("half-then-close", "half-then-reset"), each("502", "in-band")),
    **dict.fromkeys(("half-character-then-close", "half-character-then-reset"), each("502", "in-band")),
    "half-then-hang": each("504", "in-band"),
    "drip=0.5": both("504"),
    "endless": each("504", "left"),
    "comments": each("504", "504|in-band"),
    # lies
    "too-long": each("502", "right|in-band"),
    "too-long-and-hangs": each("504", "right|in-band"),
    "too-short": each("502", "in-band"),
    "length-of-a-petabyte": both("502", "504"),
    "huge-chunk": both("502", "504"),
    **dict.fromkeys(("two-lengths", "negative-length", "broken-chunk", "huge-chunk-extension"), both("502")),
    **dict.fromkeys(("huge-head", "many-headers", "garbage", "garbage-then-hang", "ssh"), both("502")),
    # not an answer
    **dict.fromkeys(
        ("redirect", "no-content", "not-modified", "binary", "html", "empty", "zipped"), both("502")
    ),
    **dict.fromkeys(("a-list", "a-number", "null", "deep-body", "huge-numbers", "bomb"), both("502")),
    **dict.fromkeys(("error-in-200", "error-event-first", "nothing-but-mark"), both("502")),
    **dict.fromkeys(
        ("broken-json", "half-character", "no-utf-8", "deep", "odd-choices"), each("502", "in-band")
    ),
    **dict.fromkeys(("odd-fields", "error-event-later", "no-end"), each("502", "in-band")),
    # refuses
    "early-refusal": both("413"),
    "fail=400": both("400"),
    "fail=401": both("502"),
    "fail=429+1": both("429"),
    "fail=500": both("502"),
    "fail=503": both("503"),
    "fail=599": both("502"),
    "flaky=500": both("right", "502"),
    "flaky=reset": both("right", "502"),
}
"""Behaviour → what may become of a call."""


def routes(chaos: ChaosProcess) -> list[Json]:
    """A route to each behaviour, and `calm`, which is served well over connections of its own."""
    elsewhere = {
        "refuses": f"http://127.0.0.1:{closed_port()}/v1",
        "connect-hangs": chaos.base("ok", at="full"),
        "reset-on-connect": chaos.base("ok", at="mute"),
        "close-some-time": chaos.base("close-some-time", at="stale"),
    }
    return [
        route("calm", chaos.base("ok", at="calm")),
        *(
            route(route_name(name), elsewhere.get(name) or chaos.base(name), timeouts=QUICK)
            for name in WANTED
        ),
    ]


def route_name(behaviour: str) -> str:
    """The route to a behaviour; an argument's sign may not stand in it."""
    return behaviour.replace("=", "-").replace("+", "-")
