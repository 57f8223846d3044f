"""A streamed answer as server-sent events: what the call brings, and how it fails."""

import asyncio
import logging
from collections.abc import Awaitable

from gateway_async import sse
from gateway_async.call import Answer, StreamAnswer
from gateway_async.errors import GatewayError, UpstreamInvalid
from gateway_server.dialects import Dialect
from gateway_server.heartbeats import Outgoing
from gateway_server.responses import CUT_SHORT

_log = logging.getLogger("gateway_server")


async def send_events(out: Outgoing, answering: Awaitable[Answer | StreamAnswer], dialect: Dialect) -> None:
    """Send what a call brings, and close it.

    Raises:
        Exception: What failed before anything was sent. Later it becomes an event in the caller's dialect, never a
            silent end.
    """
    end, answer = dialect.stream_end, None
    try:
        answer = _stream(await answering)
        await out.start(answer.headers)
        async for batch in answer:
            await out.send(sse.encode(batch))
    except asyncio.CancelledError:
        if await out.settled(cancel=True):
            await out.end(sse.encode([dialect.event(CUT_SHORT)]))
        raise
    except Exception as failed:
        if not await out.settled():
            raise
        end = sse.encode([dialect.event(_told(failed))])
    finally:
        if answer is not None:
            await answer.aclose()
    await out.end(end)


def _stream(answer: Answer | StreamAnswer) -> StreamAnswer:
    if isinstance(answer, Answer):
        raise UpstreamInvalid("the route's provider gave a whole answer to a request for a stream")
    return answer


def _told(failed: Exception) -> GatewayError:
    """What a caller is told in a stream."""
    if isinstance(failed, GatewayError):
        return failed
    _log.error("a stream failed", exc_info=failed)
    return GatewayError("the gateway failed; its log says why")
