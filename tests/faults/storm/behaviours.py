"""What the chaos upstream does with a request, by name. Nearly all do it to the right answer, whole or streamed."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache

from tests.faults.storm import wire
from tests.faults.storm.exchange import LAST_CHUNK, Exchange, chunk, head, sized

Behaviour = Callable[[Exchange], Awaitable[None]]

KEY_IN_ERRORS = "sk-canary-4f1c7e0b9a52"
"""Providers repeat keys in their errors: nobody may see it."""


def say(make: Callable[[Exchange], bytes], then: str = "keep") -> Behaviour:
    """Send something in place of the answer, and then `keep` the connection, `hold`, `close` or `reset` it."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(make(exchange))
        if then == "hold":
            await exchange.hold()
        elif then == "close":
            exchange.close()
        elif then == "reset":
            await exchange.reset()

    return behave


def body(content: bytes, *headers: bytes, kind: bytes = b"", status: bytes = b"200 OK") -> Behaviour:
    """Answer with this content: as it is, or in a stream's place as its only bytes."""

    def make(exchange: Exchange) -> bytes:
        if exchange.stream and not kind:
            return head(status, *headers, stream=True) + chunk(content) + LAST_CHUNK
        return sized(content, status, *headers, kind=kind)

    return say(make)


def within(content: bytes, then: str = "keep") -> Behaviour:
    """Put something between the events of a stream; where the answer is whole, in its place."""

    def make(exchange: Exchange) -> bytes:
        if not exchange.stream:
            return sized(content.removeprefix(b"data: ").rstrip())
        first, *others = map(chunk, exchange.events())
        return head(stream=True) + first + chunk(content) + b"".join(others) + LAST_CHUNK

    return say(make, then)


def half(exchange: Exchange) -> bytes:
    """The first half of the right answer, which ends within an event or a text."""
    answer = exchange.answer()
    return answer[: len(answer) * 6 // 10]


def part(exchange: Exchange) -> bytes:
    """The right answer until half a character: the first of the two bytes of ü."""
    answer = exchange.answer()
    return answer[: answer.index("ü".encode()) + 1]


async def ok(exchange: Exchange) -> None:
    """The right answer, after so many seconds."""
    if exchange.argument:
        await asyncio.sleep(exchange.seconds)
    await exchange.send(exchange.answer())


async def paced(exchange: Exchange) -> None:
    """The right answer, a stream's event every so many seconds."""
    if not exchange.stream:
        await ok(exchange)
        return
    await exchange.send(head(stream=True))
    for event in exchange.events():
        await exchange.send(chunk(event))
        await asyncio.sleep(exchange.seconds)
    await exchange.send(LAST_CHUNK)


async def hang(exchange: Exchange) -> None:
    """Nothing."""
    await exchange.hold()


async def reset(exchange: Exchange) -> None:
    """A reset."""
    await exchange.reset()


async def close(exchange: Exchange) -> None:
    """The end of the connection, without an answer."""
    exchange.close()


async def fail(exchange: Exchange) -> None:
    """An error of this status; `429+3` says with it when to come again."""
    status, _, seconds = exchange.argument.partition("+")
    headers = [b"Retry-After: " + seconds.encode()] if seconds else []
    text = f'{{"error":{{"message":"no to {KEY_IN_ERRORS}","type":"t","code":"c"}}}}'
    await exchange.send(sized(text.encode(), status.encode() + b" Failed", *headers))


async def flaky(exchange: Exchange) -> None:
    """Every other time the right answer, after 20 ms; else an error, or `reset` a reset."""
    await asyncio.sleep(0.02)
    if exchange.number % 2:
        await exchange.send(exchange.answer())
    elif exchange.argument == "reset":
        await exchange.reset()
    else:
        await fail(exchange)


async def drip(exchange: Exchange) -> None:
    """The right answer, byte by byte, at once or after so many seconds each."""
    await exchange.drip(exchange.answer(), pause=exchange.seconds)


async def close_some_time(exchange: Exchange) -> None:
    """The right answer, and a moment later, while nothing or the next request comes, the end of the connection."""
    await exchange.send(exchange.answer())
    if random.random() < 0.5:
        moment = random.choice((0.0, 0.0005, 0.002, 0.01))
        asyncio.get_running_loop().call_later(moment, exchange.line.transport.close)


async def early(exchange: Exchange) -> None:
    """The right answer before all of the request is there."""
    await exchange.send(exchange.answer())


async def early_refusal(exchange: Exchange) -> None:
    """A refusal before all of the request is there, and a closed door for the rest."""
    await exchange.send(sized(b'{"error":{"message":"too large"}}', b"413 Too Large", b"Connection: close"))
    await asyncio.sleep(0.05)
    exchange.close()


async def interim(exchange: Exchange) -> None:
    """Interim answers without end."""
    while True:
        await exchange.drip(b"HTTP/1.1 100 Continue\r\n\r\n", size=1000, pause=0.02)


async def endless_head(exchange: Exchange) -> None:
    """Headers without end, one after the other."""
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await exchange.drip(b"X-More: and more\r\n", size=1000, pause=0.02)


async def endless(exchange: Exchange) -> None:
    """Spaces without end, or words in a stream, a few a second."""
    await exchange.send(head(stream=exchange.stream))
    while True:
        await exchange.send(chunk(exchange.events()[1] if exchange.stream else b" "))
        await asyncio.sleep(0.02)


async def flood(exchange: Exchange) -> None:
    """The same as fast as it is taken."""
    await exchange.send(head(stream=exchange.stream))
    piece = chunk(exchange.events()[1] * 300 if exchange.stream else b" " * 2**16)
    while True:
        await exchange.send(piece)
        await asyncio.sleep(0)


async def endless_event(exchange: Exchange) -> None:
    """One event whose line never ends."""
    await exchange.send(head(stream=exchange.stream) + chunk(b'data: {"choices": ["'))
    piece = chunk(b"x" * 2**16)
    while True:
        await exchange.send(piece)
        await asyncio.sleep(0)


async def comments(exchange: Exchange) -> None:
    """Heartbeats, and never an event."""
    await exchange.send(head(stream=exchange.stream))
    while True:
        await exchange.send(chunk(b": still thinking\n\n"))
        await asyncio.sleep(0.02)


async def thinks_aloud(exchange: Exchange) -> None:
    """Half a second of heartbeats, then the right answer."""
    if not exchange.stream:
        await ok(exchange)
        return
    await exchange.send(head(stream=True))
    for _ in range(10):
        await exchange.send(chunk(b": still thinking\n\n"))
        await asyncio.sleep(0.05)
    for event in exchange.events():
        await exchange.send(chunk(event))
    await exchange.send(LAST_CHUNK)


async def after_done(exchange: Exchange) -> None:
    """The right answer; a stream goes on behind its end mark."""
    if not exchange.stream:
        await ok(exchange)
        return
    await exchange.send(exchange.answer().removesuffix(LAST_CHUNK))
    while True:
        await exchange.send(chunk(exchange.events()[1]))
        await asyncio.sleep(0.02)


def chunks_with(extension: bytes) -> Behaviour:
    """The right answer in chunks with extensions, and with trailers."""

    def make(exchange: Exchange) -> bytes:
        answer = exchange.answer()
        if not exchange.stream:
            answer = head() + chunk(answer.partition(b"\r\n\r\n")[2]) + LAST_CHUNK
        start, _, rest = answer.partition(b"\r\n\r\n")
        size, _, rest = rest.partition(b"\r\n")
        return (
            start + b"\r\n\r\n" + size + extension + b"\r\n" + rest.removesuffix(b"\r\n") + b"X-A: b\r\n\r\n"
        )

    return say(make)


def lie(difference: int, then: str) -> Behaviour:
    """The right answer with a length that is wrong by this; a stream has a length too."""

    def make(exchange: Exchange) -> bytes:
        content = (
            b"".join(exchange.events()) if exchange.stream else exchange.answer().partition(b"\r\n\r\n")[2]
        )
        kind = b"text/event-stream" if exchange.stream else b""
        return sized(content, length=len(content) + difference, kind=kind)

    return say(make, then)


def until_closed(exchange: Exchange) -> bytes:
    """The right answer, whose end is that of the connection."""
    content = b"".join(exchange.events()) if exchange.stream else exchange.answer().partition(b"\r\n\r\n")[2]
    kind = b"text/event-stream" if exchange.stream else b"application/json"
    return b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n" + content


def smuggled(exchange: Exchange) -> bytes:
    """The right answer, and behind it one that nobody asked for."""
    return exchange.answer() + sized(b'{"choices":[{"index":0,"message":{"content":"marker-0"}}]}')


def zipped(exchange: Exchange) -> bytes:
    """The right answer, compressed though nobody takes that."""
    _, _, content = exchange.answer().partition(b"\r\n\r\n")
    return sized(gzip.compress(content), b"200 OK", b"Content-Encoding: gzip")


@cache
def bomb() -> bytes:
    """A gigabyte of spaces, in a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 1023


def no_end(exchange: Exchange) -> bytes:
    """All words of a stream, and no word of its end."""
    return head(stream=exchange.stream) + b"".join(map(chunk, wire.words(exchange.marker))) + LAST_CHUNK


def nothing_but_mark(exchange: Exchange) -> bytes:
    """The mark at the end of a stream, and nothing before it."""
    return head(stream=exchange.stream) + chunk(wire.DONE) + LAST_CHUNK


def no_mark(exchange: Exchange) -> bytes:
    """The right answer; a stream without the mark behind its end."""
    if not exchange.stream:
        return exchange.answer()
    return head(stream=True) + b"".join(map(chunk, exchange.events()[:-1])) + LAST_CHUNK


def with_lines(end: bytes) -> Behaviour:
    """The right answer; a stream whose lines end so."""
    return say(lambda exchange: _with_lines(exchange, end))


def _with_lines(exchange: Exchange, end: bytes) -> bytes:
    if not exchange.stream:
        return exchange.answer()
    return head(stream=True) + chunk(b"".join(exchange.events()).replace(b"\n", end)) + LAST_CHUNK


_ERROR = b'{"error":{"message":"overloaded, %b","type":"server_error","code":null}}' % KEY_IN_ERRORS.encode()
_PAGE = b"<html><h1>It works!</h1></html>"
_DEEP = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_NUMBERS = b'{"id":1e999,"created":%b,"choices":[]}' % (b"9" * 5000)

BEHAVIOURS: Mapping[str, Behaviour] = {
    "ok": ok, "paced": paced, "slow": ok, "hang": hang, "reset": reset, "close": close, "fail": fail, "flaky": flaky,
    "drip": drip, "close-some-time": close_some_time, "early": early, "early-refusal": early_refusal,
    "interim": interim, "endless-head": endless_head, "endless": endless, "flood": flood,
    "endless-event": endless_event, "comments": comments, "thinks-aloud": thinks_aloud, "after-done": after_done,
    # connections that break
    "head-then-hang": say(lambda exchange: exchange.answer().partition(b"\r\n\r\n")[0] + b"\r\n\r\n", "hold"),
    "half-head-then-close": say(lambda _: b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    "half-head-then-hang": say(lambda _: b"HTTP/1.1 200 OK\r\nContent-Le", "hold"),
    "half-then-hang": say(half, "hold"),
    "half-then-close": say(half, "close"),
    "half-then-reset": say(half, "reset"),
    "half-character-then-close": say(part, "close"),
    "half-character-then-reset": say(part, "reset"),
    # lengths, chunks, heads
    "too-long": lie(100, "close"),
    "too-long-and-hangs": lie(100, "hold"),
    "too-short": lie(-100, "keep"),
    "two-lengths": say(lambda _: sized(b"{}", b"200 OK", b"Content-Length: 5")),
    "negative-length": say(lambda _: sized(b"{}", length=-5)),
    "length-of-a-petabyte": say(lambda _: sized(b"{", length=10**15), "hold"),
    "until-closed": say(until_closed, "close"),
    "smuggled": say(smuggled),
    "chunk-extensions": chunks_with(b';name="value";more'),
    "huge-chunk-extension": chunks_with(b";x=" + b"y" * 10_000_000),
    "broken-chunk": say(lambda exchange: head(stream=exchange.stream) + b"zz\r\nhello\r\n", "hold"),
    "huge-chunk": say(lambda exchange: head(stream=exchange.stream) + b"f" * 16 + b"\r\nx", "hold"),
    "huge-head": say(lambda _: sized(b"{}", b"200 OK", b"X-Huge: " + b"x" * 5_000_000)),
    "many-headers": say(lambda _: sized(b"{}", b"200 OK", *[b"X-%d: x" % n for n in range(100_000)])),
    "hints-first": say(lambda exchange: b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + exchange.answer()),
    "switches": say(lambda _: b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "hold"),
    "redirect": say(lambda _: sized(b"", b"307 Moved", b"Location: http://127.0.0.1:9/")),
    "no-content": say(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"),
    "not-modified": say(lambda _: b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    # not HTTP, or not what was asked for
    "garbage": say(lambda _: random.randbytes(1000), "close"),
    "garbage-then-hang": say(lambda _: b"\x16\x03\x01" + random.randbytes(1000), "hold"),
    "ssh": say(lambda _: b"SSH-2.0-OpenSSH_9.6\r\n", "hold"),
    "binary": body(bytes(range(256)) * 10),
    "html": body(_PAGE, kind=b"text/html"),
    "empty": body(b""),
    "a-list": body(b"[1, 2]"),
    "a-number": body(b"5"),
    "null": body(b"null"),
    "broken-json": within(b'data: {"choices": [{"index": 0, "delta": {"content": "a}\n\n'),
    "half-character": within(b'data: {"choices":[{"index":0,"delta":{"content":"Z\xc3"}}]}\n\n'),
    "no-utf-8": within(b"data: \xff\xfe\x00\n\n"),
    "deep": within(b"data: " + _DEEP + b"\n\n"),
    "deep-body": body(_DEEP),
    "huge-numbers": body(_NUMBERS),
    "odd-choices": within(b'data: {"choices":[5,null,{"delta":[]}]}\n\n'),
    "odd-fields": within(b'data: {"id":[],"choices":{"a":1},"usage":"lots"}\n\n'),
    "error-in-200": body(_ERROR),
    "error-event-first": body(b"data: " + _ERROR + b"\n\n"),
    "error-event-later": within(b"data: " + _ERROR + b"\n\n"),
    "always-whole": say(lambda exchange: sized(wire.whole(exchange.marker))),
    "always-stream": say(lambda exchange: replace(exchange, stream=True).answer()),
    "zipped": say(zipped),
    "bomb": say(lambda _: sized(bomb(), b"200 OK", b"Content-Encoding: gzip")),
    # odd, but right
    "no-mark": say(no_mark),
    "no-end": say(no_end),
    "nothing-but-mark": say(nothing_but_mark),
    "crlf": with_lines(b"\r\n"),
    "cr": with_lines(b"\r"),
}  # fmt: skip

AT_FIRST_BYTES = frozenset({"early", "early-refusal"})
"""Behaviours that don't wait until the request is whole."""
