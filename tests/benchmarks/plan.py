"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The size of a run."""

    rounds: int
    enough_rounds: int
    enough_seconds: float
    """On a busy machine, which takes longer, the rounds of a part end once there were so many in so long."""

    warm_seconds: float
    """About how long each gateway answers chats, and then half as long streams, before its rounds: node compiles only
    what it has run for some thousand requests."""

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

    routes: tuple[int, int]
    """Few, and many."""

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
        return Plan(
            rounds=3,
            enough_rounds=2,
            enough_seconds=15,
            warm_seconds=1,
            seconds=0.25,
            alone=50,
            paced=0,
            calls=64,
            starts=1,
            routes=(10, 1000),
            soaked=0,
            only=only,
        )
    return Plan(
        rounds=7,
        enough_rounds=3,
        enough_seconds=240,
        warm_seconds=8,
        seconds=1.2,
        alone=500,
        paced=64,
        calls=192,
        starts=3,
        routes=(10, 10_000),
        soaked=100_000,
        only=only,
    )
