"""One request of a caller and its answer, between a connection and the ASGI app."""

import asyncio
import http
from collections.abc import Iterable
from typing import Protocol

from starlette.types import Message, Scope

HIGH_WATER = 2**16
"""Of a body that nobody reads, so much is taken from the connection."""

_STATUS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii") for status in http.HTTPStatus
}
_PRINTABLE = bytes(byte for byte in range(256) if byte in b"\t\n" or (byte >= 32 and byte != 127))
_BODILESS = frozenset({204, 304})

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Line(Protocol):
    """The connection, as an exchange sees it."""

    transport: asyncio.Transport
    blocked: asyncio.Future[None] | None
    """Done when more may be written; None where it may."""

    @property
    def defaults(self) -> Iterable[tuple[bytes, bytes]]:
        """Headers of every answer."""
        ...

    def hold(self) -> None:
        """Take no more from the caller for now."""
        ...

    def go_on(self) -> None:
        """Take more again."""
        ...

    def answered(self, exchange: "Exchange") -> None:
        """Go on with the next request; this one's answer is out."""
        ...


class Exchange:
    """A request, as far as it has come, and how far its answer is.

    Attributes:
        scope: ASGI's scope of the request.
        keep_alive: The connection stays for another request.
        awaits_word: The caller sends the body once it is told to.
        more_body: The request is not whole yet.
        started: The answer's head was given.
        complete: The answer is out.
        left: The caller left.
    """

    __slots__ = (
        *("_body", "_changed", "_chunked", "_given", "_head", "_line", "_missing", "_silent", "_sized"),
        *("awaits_word", "complete", "keep_alive", "left", "more_body", "scope", "started"),
    )

    def __init__(self, line: Line, scope: Scope, *, keep_alive: bool, awaits_word: bool) -> None:
        self._line = line
        self.scope = scope
        self.keep_alive = keep_alive
        self.awaits_word = awaits_word
        self.more_body = True
        self.started = self.complete = self.left = False
        self._changed: asyncio.Event | None = None
        """Set when there is more to receive; made when somebody waits for it."""

        self._body: bytes | bytearray = b""
        self._given = False
        """All of the request was given to the app."""

        self._head = b""
        """The answer's head, where it goes out with the first bytes of its body."""

        self._missing = 0
        """Bytes of the answer that are announced and have not come."""

        self._sized = self._chunked = self._silent = False
        """How the end of the answer's body is told; where all are false, by the end of the connection."""

    # What the connection calls.

    def add(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        if not self._body:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body) + data
        if len(self._body) > HIGH_WATER:
            self._line.hold()
        self._wake()

    def end(self) -> None:
        """Note that the request is whole."""
        self.more_body = False
        self._wake()

    def leave(self) -> None:
        """Note that the caller is gone."""
        if not self.complete:
            self.left = True
        self._wake()

    async def fail(self) -> None:
        """Answer for an app that gave no answer, or only a part of one."""
        if self.complete or self.left:
            return
        if self.started and not self._head:
            self._line.transport.close()
            return
        self.started = self._sized = self._chunked = False  # as a start that is not out may have left it
        body = b"Internal Server Error"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    # What the app calls.

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        if self.awaits_word and not self.started and not self.left:
            self.awaits_word = False
            self._line.transport.write(_CONTINUE)
        while not (self.left or self.complete):
            if self._body or not (self.more_body or self._given):
                body, self._body = self._body, b""
                self._given = not self.more_body
                self._line.go_on()
                return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}
            self._line.go_on()
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's `send`."""
        if self._line.blocked is not None and not self.left:
            await asyncio.shield(self._line.blocked)
        if self.left:
            return
        kind = message["type"]
        if not self.started and kind == "http.response.start":
            self._start(message)
            self.started = True
        elif self.started and not self.complete and kind == "http.response.body":
            self._continue(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} is not expected now")

    def _start(self, message: Message) -> None:
        status, headers = message["status"], [*self._line.defaults, *message.get("headers", ())]
        named = dict(headers)
        lines = [_STATUS.get(status) or b"HTTP/1.1 %d " % status, *map(b": ".join, headers)]
        if self.awaits_word and self.more_body:
            self.keep_alive = False  # whether what comes next is the body, nobody could tell
        if b"close" in named.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close")
        self._silent = self.scope["method"] == "HEAD" or status in _BODILESS
        if (length := named.get(b"content-length")) is not None:
            self._missing, self._sized = int(length), True
        elif not self._silent and self.scope["http_version"] == "1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        text = b"\n".join(lines)
        if text.translate(None, _PRINTABLE) or text.count(b"\n") >= len(lines):
            raise RuntimeError("a header of the answer holds a character that none may have")
        head = text.replace(b"\n", b"\r\n") + b"\r\n\r\n"
        if self._chunked:
            self._line.transport.write(head)
        else:
            self._head = head  # the body comes at once: both go out together

    def _continue(self, body: bytes, more: bool) -> None:
        if self._silent:
            data = self._head
        elif self._chunked:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            self._missing -= len(body)
            if self._sized and (self._missing < 0 or (self._missing and not more)):
                raise RuntimeError("the answer is not as long as its content-length says")
            data = self._head + body if self._head else body
        self._head = b""
        if data:
            self._line.transport.write(data)
        if not more:
            self.complete = True
            self._wake()
            self._line.answered(self)

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
