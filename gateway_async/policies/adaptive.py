"""How many calls a provider can take at once, found out by trying: one more each round, far fewer at an overload.

A round is as many calls as may be under way. What calls tell that began before the last decrease says nothing of the
time after it, and is left out: an overload that many calls meet at once is one.
"""

DECREASE = 0.7
"""What is left of the limit after an overload."""


class AdaptiveLimit:
    """How many calls may be under way.

    It begins at the most, so that nobody waits for a provider that has not complained. Where an overload ends, the limit
    grows by one with every answer until it is near where it was, and from there by one with every round.

    Args:
        most: It is never above this, and never below 1.

    Attributes:
        round: How many decreases there were; a call notes it when it begins.
    """

    def __init__(self, most: int) -> None:
        self.round = 0
        self._most = most
        self._limit = self._near = float(most)
        self._grew = True

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._limit)

    def resize(self, most: int) -> None:
        """Have another most."""
        self._limit = min(self._limit, most) if self.round else float(most)
        self._most = most

    def answered(self, began: int) -> None:
        """Learn that a call was answered while all places were taken.

        Args:
            began: The round in which it began.
        """
        if began == self.round and self._limit < self._most:
            grown = self._limit + (1 if self._limit < self._near else 1 / self._limit)
            self._limit, self._grew = min(grown, self._most), True

    def overloaded(self, began: int) -> None:
        """Learn that a call met an overload.

        Args:
            began: The round in which it began.
        """
        if began != self.round:
            return
        if self._grew:
            self._near = self._limit * DECREASE
        self._grew = False
        self._limit = max(self._limit * DECREASE, 1.0)
        self.round += 1
