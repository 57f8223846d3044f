"""A budget of retries: they may be a share of the traffic, so that a storm of failures can't feed itself."""

RESERVE = 5.0
"""Retries that a route with little traffic has at hand; what it used of them comes back, one in `RESERVE_SECONDS`."""

RESERVE_SECONDS = 10.0

MOST = 20.0
"""What a quiet time may save up."""


class Budget:
    """Says how many retries may be made. Pure; the caller knows the time.

    Args:
        per_call: Retries for each call, averaged; 0: none ever.
    """

    def __init__(self, per_call: float) -> None:
        self._per_call = per_call
        self._saved = RESERVE if per_call else 0.0
        self._looked: float | None = None

    def earn(self) -> None:
        """Note a call."""
        self._saved = min(self._saved + self._per_call, MOST)

    def take(self, most: int, now: float) -> int:
        """Use retries up, so many or as many as there are; the number of those."""
        passed = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        if self._per_call and self._saved < RESERVE:
            self._saved = min(self._saved + passed / RESERVE_SECONDS, RESERVE)
        taken = min(most, int(self._saved))
        self._saved -= taken
        return taken
