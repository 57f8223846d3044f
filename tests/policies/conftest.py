"""Two upstreams beside the one that every suite has."""

from collections.abc import Iterator

import pytest

from tests.support.upstream import MockUpstream, chat, mock_upstream


@pytest.fixture(scope="session")
def shared_others() -> Iterator[list[MockUpstream]]:
    """Those two. Tests take `upstreams`."""
    with mock_upstream() as one, mock_upstream() as other:
        yield [one, other]


@pytest.fixture
def upstreams(upstream: MockUpstream, shared_others: list[MockUpstream]) -> list[MockUpstream]:
    """Three upstreams, as if they were new; each answers a chat with its place."""
    found = [upstream, *shared_others]
    for place, each in enumerate(found):
        each.reply(chat(f"I am {place}"))
    return found
