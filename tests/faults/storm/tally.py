"""What became of all requests of a load: verdicts and latencies, and a few examples of each; it does not grow much."""

import statistics
from array import array
from collections import Counter
from collections.abc import Callable
from itertools import compress

from tests.faults.storm.outcome import Outcome

EXAMPLES = 3


class Tally:
    """Counts outcomes.

    Args:
        also: Called with each outcome.
    """

    def __init__(self, also: Callable[[Outcome], None] | None = None) -> None:
        self.verdicts: Counter[tuple[str, bool, str]] = Counter()
        """By route, whether streamed, and verdict."""

        self.destinations: Counter[str] = Counter()
        self.examples: dict[tuple[str, str], list[Outcome]] = {}
        self._started, self._seconds = array("d"), array("d")
        self._also = also

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        route = outcome.ask.route
        self.verdicts[route, outcome.ask.stream, outcome.verdict] += 1
        self.destinations[outcome.headers.get("x-gateway-destination", "")] += 1
        if outcome.verdict != "right":
            examples = self.examples.setdefault((route, outcome.verdict), [])
            if len(examples) < EXAMPLES:
                examples.append(outcome)
        self._started.append(outcome.started)
        self._seconds.append(outcome.seconds)
        if self._also is not None:
            self._also(outcome)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._seconds)

    @property
    def failed(self) -> Counter[str]:
        """The verdicts of those that are not right."""
        counted: Counter[str] = Counter()
        for (_, _, word), number in self.verdicts.items():
            if word != "right":
                counted[word] += number
        return counted

    def of(self, route: str, *, stream: bool | None = None) -> Counter[str]:
        """The verdicts of one route."""
        counted: Counter[str] = Counter()
        for (name, streamed, word), number in self.verdicts.items():
            if name == route and stream in (None, streamed):
                counted[word] += number
        return counted

    def seconds(self, *, after: float = 0.0) -> list[float]:
        """How long each took that began so many seconds after the first."""
        begin = min(self._started, default=0.0) + after
        return list(compress(self._seconds, (started >= begin for started in self._started)))

    def percentile(self, percent: int, *, after: float = 0.0) -> float:
        """Seconds within which so many of a hundred were answered, among those who began that much after the first."""
        taken = self.seconds(after=after)
        return statistics.quantiles(taken, n=100, method="inclusive")[percent - 1] if len(taken) > 1 else 0.0

    def explain(self, only: str = "") -> str:
        """An example of each failure, of all routes or of one, for whoever has to find out."""
        return "\n".join(
            f"{route}: {word}: {one.seconds:.2f} s, {one.status} {one.headers} {one.body[:300]!r}…{one.body[-200:]!r}"
            for (route, word), (one, *_) in self.examples.items()
            if only in ("", route)
        )
