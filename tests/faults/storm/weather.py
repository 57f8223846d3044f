"""What a gateway has to make of each behaviour of the chaos upstream: the table that the storm is held to."""

from dataclasses import dataclass

from tests.faults.storm.process import ChaosProcess, Json, model, route
from tests.support.ports import closed_port

QUICK: Json = {"connect": 2.5, "first_byte": 2.5, "idle": 2, "total": 8}
"""How long routes in the storm wait, but for those that are to be answered well: a busy machine takes its time."""

SLOWEST = 8.0
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


THE_CALLERS = {"400", "413", "left"}
"""What has nothing to do with the destination."""

SHELTERED = ".sheltered"
"""What the names of routes end in that have another destination for when the first does not answer."""


def sheltered(wanted: Wanted) -> Wanted:
    """What may become of calls then: the other destination answers, unless some of a stream is out already.

    An answer that begins and does not end takes all the time that the route has. After some failures it is the other
    destination alone that is asked.
    """
    whole, stream = (
        {word if word in (*THE_CALLERS, "in-band") else "right" for word in words}
        for words in (wanted.whole, wanted.stream)
    )
    late = {"504"} if "504" in wanted.whole else set()
    return Wanted(frozenset(whole | late), frozenset(stream if stream & THE_CALLERS else stream | {"right"}))


def routes(chaos: ChaosProcess) -> list[Json]:
    """Two routes to each behaviour, one sheltered; and `calm`, which is served well over connections of its own."""
    elsewhere = {
        "refuses": f"http://127.0.0.1:{closed_port()}/v1",
        "connect-hangs": chaos.base("ok", at="full"),
        "reset-on-connect": chaos.base("ok", at="mute"),
        "close-some-time": chaos.base("close-some-time", at="stale"),
    }
    found = [route("calm", chaos.base("ok", at="calm"))]
    for name in WANTED:
        base = elsewhere.get(name) or chaos.base(name)
        patience: Json = {} if WANTED[name] == both("right") else {"timeouts": QUICK}
        found.append(route(route_name(name), base, **patience))
        destinations = [{"model": model(base)}, {"model": model(chaos.base("ok", at="calm")), "priority": 2}]
        found.append(
            {
                "name": route_name(name) + SHELTERED,
                "endpoint_type": "llm/v1/chat",
                "destinations": destinations,
                **patience,
            }
        )
    return found


def route_name(behaviour: str) -> str:
    """The route to a behaviour; an argument's sign may not stand in it."""
    return behaviour.replace("=", "-").replace("+", "-")
