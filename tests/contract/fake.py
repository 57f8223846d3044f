"""A gateway that answers what a test says, one answer after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.upstream import MockUpstream, Reply, json_reply


class FakeGateway(MockUpstream):
    """Gives its answers in turn, the last again and again, and counts the requests."""

    _answers: tuple[Reply, ...] = ()

    @property
    def _reply(self) -> Reply:
        first, *rest = self._answers
        self._answers = tuple(rest) or (first,)
        return first

    @_reply.setter
    def _reply(self, reply: Reply) -> None:
        self._answers = (reply,)

    def answer(self, *replies: Reply) -> None:
        """Give these answers from now on, and forget the requests so far."""
        self._answers = replies
        self.received.clear()

    @property
    def count(self) -> int:
        """How many requests came."""
        return len(self.received)


@contextmanager
def fake_gateway() -> Iterator[FakeGateway]:
    """A fake gateway that is stopped on leaving."""
    fake = FakeGateway()
    try:
        yield fake
    finally:
        fake.close()


def refused(status: int, detail: Any = "no", **headers: str) -> Reply:
    """An error as mlflow's gateway words it."""
    return json_reply({"detail": detail}, status=status, before=0.0, **headers)
