"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The size of a run."""

    rounds: int
    seconds: float
    """About how long chats are measured in each round of each row; streams too."""

    alone: int
    """Chats of a round with nobody else about, one after the other."""

    paced: int
    """Paced streams of a round, all at once; 0: none."""

    calls: int
    """Of an SDK, in each batch."""

    starts: int
    """How often each server is started."""

    soaked: int
    """Chats of each server before its memory is read again; 0: it is not."""

    soak_seconds: float = 60.0
    """About how long they may take: a slow server gets fewer."""

    only: str = ""
    """Measure what has this in its name; empty: everything."""

    def includes(self, name: str) -> bool:
        """Whether this row was asked for."""
        return self.only.casefold() in name.casefold()


def plan(*, quick: bool, only: str) -> Plan:
    """The two sizes of a run: about a minute, and a quarter of an hour."""
    if quick:
        return Plan(3, 0.3, alone=100, paced=0, calls=64, starts=1, soaked=0, only=only)
    return Plan(7, 1.2, alone=500, paced=64, calls=192, starts=3, soaked=100_000, only=only)
