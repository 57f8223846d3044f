"""Which of several destinations a call goes to. All of one priority, and each may be asked now."""

import random
from collections.abc import Callable, Mapping, Sequence

from gateway_async.policies.target import Target
from gateway_async.traffic_config import Balance

Pick = Callable[[Sequence[Target], float], Target]
"""One of some destinations, at this time of `time.monotonic`."""


class Weighted:
    """By weight: of every n calls each gets its share, as evenly spread as can be."""

    def __init__(self) -> None:
        self._owed: dict[Target, float] = {}

    def __call__(self, targets: Sequence[Target], now: float) -> Target:
        owed, total, chosen = self._owed, 0.0, targets[0]
        for target in targets:
            total += target.weight
            owed[target] = owed.get(target, 0.0) + target.weight
            if owed[target] > owed[chosen]:
                chosen = target
        owed[chosen] -= total
        return chosen


class LeastPending:
    """The one with the fewest calls under way for its weight; of several such the one whose turn was longest ago."""

    def __init__(self) -> None:
        self._turns: dict[Target, int] = {}
        self._turn = 0

    def __call__(self, targets: Sequence[Target], now: float) -> Target:
        chosen = min(
            targets,
            key=lambda target: ((target.load.pending + 1) / (target.weight or 1), self._turns.get(target, 0)),
        )
        self._turn += 1
        self._turns[chosen] = self._turn
        return chosen


def quickest(targets: Sequence[Target], now: float) -> Target:
    """Of two taken at random the one where a call waits less, for its weight."""
    if len(targets) == 1:
        return targets[0]
    one, other = targets if len(targets) == 2 else random.sample(targets, 2)
    return one if _cost(one, now) <= _cost(other, now) else other


def _cost(target: Target, now: float) -> float:
    return target.load.cost(now) / (target.weight or 1)


BALANCES: Mapping[Balance, Callable[[], Pick]] = {
    "weighted": Weighted,
    "least_pending": LeastPending,
    "latency": lambda: quickest,
}
"""Makes a balance for one route."""
