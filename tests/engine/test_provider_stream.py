"""A provider's stream on its way through: nothing that came is lost, a failure is told, the connection is let go."""

from collections.abc import Iterable, Mapping

import pytest

from gateway_async.errors import GatewayError, UpstreamError, UpstreamInvalid, UpstreamUnavailable
from gateway_async.provider_call import ProviderStream
from gateway_async.providers._base import UpstreamResponse
from gateway_async.providers._streams import EventReader
from gateway_async.secrets import Secret
from gateway_async.sse import Event


class Given:
    """An upstream's answer, piece by piece; an error is raised where it stands."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, *pieces: bytes | GatewayError) -> None:
        self._pieces = iter(pieces)
        self.closed: list[bool] = []
        self.reads = 0

    async def read(self, *, first: bool = False) -> bytes:
        """The next piece; none at the end."""
        self.reads += 1
        piece = next(self._pieces, b"")
        if isinstance(piece, GatewayError):
            raise piece
        return piece

    async def read_all(self) -> UpstreamResponse:
        """Not used."""
        raise NotImplementedError

    async def aclose(self, *, finished: bool = False) -> None:
        """Note whether all was read."""
        self.closed.append(finished)


class Reader(EventReader):
    """Each event is a chunk; `end` is the last, `bad` is an error."""

    def event(self, event: Event) -> Iterable[bytes]:
        """The chunk."""
        if event.data == b"bad":
            raise UpstreamError("the upstream reports sk-canary")
        self.done = event.data == b"end"
        if not self.done:
            yield event.data


def stream_of(*pieces: bytes | GatewayError) -> tuple[ProviderStream, Given]:
    """A stream over an upstream's answer."""
    upstream = Given(*pieces)
    headers = (("x-gateway-route", "chat"),)
    return ProviderStream(upstream, Reader("test"), headers, (Secret("sk-canary"),)), upstream


async def batches(stream: ProviderStream, into: list[list[bytes]]) -> None:
    """Read a stream to its end."""
    async for batch in stream:
        into.append(list(batch))


async def test_chunks_that_came_together_go_out_together() -> None:
    """A piece of several events is one batch; a piece of none waits for the next."""
    stream, upstream = stream_of(
        b"data: 1\n\ndata: 2\n\nda", b"ta", b": 3\n\n", b": ping\n\n", b"data: end\n\n"
    )
    await stream.start()
    got: list[list[bytes]] = []
    await batches(stream, got)

    assert got == [[b"1", b"2"], [b"3"]]
    assert upstream.reads == 5
    assert stream.headers == (("x-gateway-route", "chat"),)


async def test_nothing_is_read_behind_the_end() -> None:
    """Some servers leave the connection open after their last event."""
    stream, upstream = stream_of(b"data: 1\n\ndata: end\n\ndata: 2\n\n", b"data: 3\n\n")
    await stream.start()
    got: list[list[bytes]] = []
    await batches(stream, got)

    assert got == [[b"1"]]
    assert upstream.reads == 1


async def test_a_failure_before_the_first_chunk_is_an_error_and_no_stream() -> None:
    """The caller can still get a status."""
    for pieces in ((b"data: bad\n\n",), (b": ping\n\n", UpstreamUnavailable("gone")), (b"",), (b"da",)):
        stream, _ = stream_of(*pieces)
        with pytest.raises(UpstreamError):
            await stream.start()


async def test_a_failure_after_chunks_is_raised_behind_them() -> None:
    """What came in the same piece is given first."""
    stream, _ = stream_of(b"data: 1\n\n", b"data: 2\n\ndata: bad\n\n", b"data: 3\n\n")
    await stream.start()
    got: list[list[bytes]] = []
    with pytest.raises(UpstreamError, match="the upstream reports"):
        await batches(stream, got)

    assert got == [[b"1"], [b"2"]]


async def test_a_key_in_the_upstream_s_words_does_not_show() -> None:
    """Not in an error of the first piece, not in a later one."""
    for pieces in ((b"data: bad\n\n",), (b"data: 1\n\n", b"data: bad\n\n")):
        stream, _ = stream_of(*pieces)
        with pytest.raises(UpstreamError) as failed:
            await _all(stream)
        assert "canary" not in f"{failed.value} {failed.value.detail} {failed.value.body()}"


async def _all(stream: ProviderStream) -> None:
    await stream.start()
    await batches(stream, [])


async def test_a_stream_that_breaks_off_is_an_error() -> None:
    """Never a silent end: the connection's own error, or an end that is none."""
    for end, kind in ((UpstreamUnavailable("gone"), UpstreamUnavailable), (b"", UpstreamInvalid)):
        stream, _ = stream_of(b"data: 1\n\n", end)
        await stream.start()
        got: list[list[bytes]] = []
        with pytest.raises(kind):
            await batches(stream, got)
        assert got == [[b"1"]]


async def test_an_event_that_lacks_its_last_line_end_counts() -> None:
    """As some servers end their streams."""
    stream, upstream = stream_of(b"data: 1\n\n", b"data: end")
    await stream.start()
    got: list[list[bytes]] = []
    await batches(stream, got)
    await stream.aclose()

    assert got == [[b"1"]]
    assert upstream.closed == [True]


async def test_the_connection_is_given_back_at_the_end_and_closed_before_it() -> None:
    """A provider whose caller left must stop."""
    whole, read = stream_of(b"data: 1\n\n", b"data: end\n\n")
    await whole.start()
    await batches(whole, [])
    await whole.aclose()
    left, unread = stream_of(b"data: 1\n\n", b"data: 2\n\n", b"data: end\n\n")
    await left.start()
    await anext(left)
    await left.aclose()

    assert (read.closed, unread.closed) == ([True], [False])


async def test_a_stream_that_failed_does_not_give_its_connection_back() -> None:
    """Nobody knows what is still on it."""
    stream, upstream = stream_of(b"data: 1\n\n", b"data: bad\n\n")
    await stream.start()
    with pytest.raises(UpstreamError):
        await batches(stream, [])
    await stream.aclose()

    assert upstream.closed == [False]


async def test_a_stream_that_breaks_off_behind_an_unfinished_event_is_no_silent_end() -> None:
    """The last event lacks its blank line: its chunk is given, and then the failure, and the connection is closed."""
    stream, upstream = stream_of(b"data: 1\n\n", b"data: 2\n")
    await stream.start()
    got: list[list[bytes]] = []
    with pytest.raises(UpstreamInvalid, match="broke off"):
        await batches(stream, got)
    await stream.aclose()

    assert got == [[b"1"], [b"2"]]
    assert upstream.closed == [False]
