"""A caller's connection: HTTP/1.1 from httptools, requests answered one after the other by the ASGI app.

In the place of uvicorn's own: the head of an answer and its body go out together, no request starts a timer, and at the
end of the server nobody who is about to ask meets a closing door.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.server import ServerState

from gateway_server.exchange import Exchange

if TYPE_CHECKING:
    from gateway_server.slow import TimedConfig

LAST_CALL_SECONDS = 0.5
"""At the end of the server a connection without a request is kept for so long, since the next may be on its way."""

LINGER_SECONDS = 2.0
"""After a last answer that came before the request was whole, what still comes is read and dropped for so long: where
a socket is closed with unread data, the answer may be lost."""

MAX_HEAD_BYTES = 2**23
"""A request whose headers are larger is refused, and so are trailers and extensions of chunks."""

MAX_HEADERS = 10_000
"""A request that has more headers is refused, since each takes many times the memory of its bytes."""

MOST_AHEAD = 1000
"""So many requests may wait on a connection for the one before them; who asks further ahead is refused then."""

_log = logging.getLogger("gateway_server")

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_BAD = b"the request is not HTTP"
_REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
    b"connection: close\r\n\r\n%b" % (len(_BAD), _BAD)
)

Address = tuple[str, bytes, bytes]
"""A path, the same as it was sent, and the query."""


class Connection(asyncio.Protocol):
    """A connection, as uvicorn makes it for its server.

    Attributes:
        exchange: The request that is answered now, or was last; None before the first.
        reading: ASGI's scope of a request whose headers are coming in; None between two.
        idle_since: When the last answer was out, by the loop's clock.
    """

    def __init__(
        self,
        config: "TimedConfig",
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: object = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.exchange: Exchange | None = None
        self.reading: Scope | None = None
        self.idle_since = 0.0
        self.blocked: asyncio.Future[None] | None = None
        self._app = config.loaded_app
        self._late = config.late
        self._server = server_state
        self._app_state = app_state
        self._waiting: deque[Exchange] = deque()
        """Requests that came before the one before them was answered."""

        self._parser: Any = httptools.HttpRequestParser(self)
        # Who announces the end of the connection, and goes on nevertheless, gets the answer that was asked for.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._held = self._draining = self._refused = self._offered = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._unused_bytes = 0
        """So much came in since a request began, or since a piece of its body."""

    @property
    def defaults(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        return self._server.default_headers

    @property
    def awaited(self) -> bool:
        """The caller has yet to send a request, or the rest of one, and nobody but the caller is to blame."""
        exchange = self.exchange
        if self._parser is None or exchange is None or self._waiting:
            return self._parser is not None and exchange is None
        if exchange.complete:
            return self.reading is not None or exchange.more_body
        return exchange.more_body and not self._held and not exchange.awaits_word

    @property
    def scope(self) -> Scope | None:
        """ASGI's scope of the request that came last, or is coming in; None before the first."""
        if self.reading is not None or self.exchange is None:
            return self.reading
        return self.exchange.scope

    @property
    def idle(self) -> bool:
        """Nothing is asked."""
        exchange = self.exchange
        return self.reading is None and (
            exchange is None or (exchange.complete and not exchange.more_body and not self._waiting)
        )

    # What the loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        self.transport = transport
        self._ours, self._theirs = _place(transport, "sockname"), _place(transport, "peername")
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self.idle_since = self.loop.time()
        self._server.connections.add(self)  # type: ignore[arg-type] # uvicorn names its own classes
        self._late.watch(self._server.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        for exchange in (self.exchange, *self._waiting):
            if exchange is not None:
                exchange.leave()
        self._waiting.clear()
        self.resume_writing()
        self._parser = self.exchange = None  # which hold this connection

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse()
            return
        self._unused_bytes += len(data)
        if self._unused_bytes > MAX_HEAD_BYTES or (
            self.reading is not None and len(self._headers) > MAX_HEADERS
        ):
            self._refuse()

    def pause_writing(self) -> None:
        if self.blocked is None:
            self.blocked = self.loop.create_future()

    def resume_writing(self) -> None:
        blocked, self.blocked = self.blocked, None
        if blocked is not None:
            blocked.set_result(None)

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._url = b""
        self._unused_bytes = 0
        self._headers = []
        self.reading = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self._ours,
            "client": self._theirs,
            "scheme": self._scheme,
            "root_path": "",
            "headers": self._headers,
            "state": self._app_state.copy(),
        }

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # One behind a body is passed over: those before it were judged, and it must not pass for one of them.
        if self.reading is not None:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        scope, parser = self.reading, self._parser
        assert scope is not None
        if len(self._waiting) == MOST_AHEAD:
            raise httptools.HttpParserError("too far ahead")
        url = self._url
        scope["path"], scope["raw_path"], scope["query_string"] = (
            _known_address(url) if len(url) < 128 else _address(url)
        )
        scope["method"] = parser.get_method().decode("ascii")
        self._offered = parser.should_upgrade()
        keeps = parser.should_keep_alive() and not self._draining and not self._offered
        awaits_word = dict(self._headers).get(b"expect", b"").lower() == b"100-continue"
        if (version := parser.get_http_version()) != "1.1":
            scope["http_version"] = version
            keeps = awaits_word = False
        self.reading = None
        before = self.exchange
        exchange = Exchange(self, scope, keep_alive=keeps, awaits_word=awaits_word)
        if before is None or before.complete:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)
            self.hold()

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        exchange = self._newest()
        if not exchange.complete:
            exchange.add(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return  # so the parser says, and has left the body out
        self._newest().end()
        if self._draining:
            self._close_soon()

    # What an exchange calls.

    def hold(self) -> None:
        """Take no more from the caller for now."""
        if not self._held:
            self._held = True
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Take more again."""
        if self._held and not self._waiting:
            self._held = False
            self.transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """Go on with the next request; this one's answer is out."""
        self._server.total_requests += 1
        if not exchange.keep_alive:
            self._end()
        elif self._waiting:
            self._begin(self._waiting.popleft())
            self.go_on()
        elif self._refused:
            self._refuse()
        else:
            self.idle_since = self.loop.time()
            if self._held:
                self.go_on()
            if self._draining:
                self._close_soon()

    # What the server calls.

    def shutdown(self) -> None:
        """Answer what is asked now or soon, with word that the connection ends then."""
        self._draining = True
        exchange = self._waiting[-1] if self._waiting else self.exchange
        if exchange is not None and not exchange.started:
            exchange.keep_alive = False
        self._close_soon()

    def cut(self, answer: bytes) -> None:
        """Close the connection, with an answer where a request has begun whose own is not on its way."""
        exchange = self.exchange
        if self.reading is not None or (exchange is not None and not exchange.started):
            self.transport.write(answer)
        if exchange is not None:
            exchange.leave()
        self.transport.close()

    def _close_soon(self) -> None:
        self.loop.call_later(LAST_CALL_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.idle and not self.transport.is_closing():
            self.transport.close()

    def _newest(self) -> Exchange:
        exchange = self._waiting[-1] if self._waiting else self.exchange
        assert exchange is not None
        return exchange

    def _begin(self, exchange: Exchange) -> None:
        self.exchange = exchange
        task = self.loop.create_task(self._answer(exchange))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # at the end of the server, and the app has told the caller
            await exchange.fail()
        except Exception:  # noqa: BLE001 - whatever a bug is, its caller gets an answer
            _log.exception("a request failed")
            await exchange.fail()
        else:
            if not (exchange.complete or exchange.left):
                _log.error("a request was left without an answer")
                await exchange.fail()

    def _decline(self, rest: bytes) -> None:
        """Read the body of a request that offered another protocol, and no more, as if it had not.

        Clients for HTTP/2 offer it with each request that they send without TLS.
        """
        self._offered, self._parser = False, None
        framing = [header for header in self._headers if header[0] in _FRAMING]
        if framing:
            self._parser = httptools.HttpRequestParser(_BodyOf(self))
            head = b"".join(b"%b: %b\r\n" % header for header in framing)
            self.data_received(b"POST / HTTP/1.1\r\n%b\r\n%b" % (head, rest))
        else:
            self._newest().end()

    def _refuse(self) -> None:
        """Answer what is no HTTP when its turn comes, and read no more."""
        self._parser = None
        exchange, torn = self.exchange, self._waiting[-1] if self._waiting else self.exchange
        if torn is not None and torn.more_body and self.reading is None:
            torn.leave()  # what is wrong is in its body
            if torn is not exchange:
                torn.more_body = False
                self._waiting.pop()
        self.reading = None
        if exchange is None or exchange.left or exchange.complete:
            if exchange is None or not exchange.started or not exchange.more_body:
                self.transport.write(_REFUSED)
            self._end(linger=True)
        else:
            self._refused = True
            self.go_on()  # so that its caller's leaving is seen

    def _end(self, *, linger: bool = False) -> None:
        """Close the connection when its last answer is out, so that it arrives."""
        if self.transport.is_closing():
            return
        if linger or self._waiting or self.reading is not None or self._newest().more_body:
            self._parser = None
            self._waiting.clear()
            with suppress(OSError):  # the caller is gone: its end comes next
                self.transport.write_eof()
            self.go_on()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


class _BodyOf:
    """Takes one body for a connection, from a parser that was given a head of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    def on_body(self, body: bytes) -> None:
        if self._connection is not None:
            self._connection.on_body(body)

    def on_message_complete(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.on_message_complete()


def _address(url: bytes) -> Address:
    """What a request's target means.

    Raises:
        httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError: It has no path.
    """
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


_known_address = lru_cache(maxsize=1024)(_address)


def _place(transport: asyncio.Transport, which: str) -> tuple[str, int] | None:
    """An end of the connection: address and port."""
    found = transport.get_extra_info(which)
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
