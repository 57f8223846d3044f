"""An HTTP/1.1 client for one job: send a request, read the answer whole or as it comes, keep the connection.

It exists because the hop to the provider is the largest part of what a request costs, and a general client does much
that a gateway has no use for. No redirects, no cookies, no proxies, no compression: for a proxy, `upstream` takes
aiohttp. httptools parses; one timer looks after the deadlines of all connections.

What a server may get wrong, and what comes of it:

- More bytes than the answer has: the answer counts, the connection does not serve again.
- Fewer, or anything that is not HTTP/1: an error. The parser is not lenient: no bare line feeds, no folded headers, no
  `Content-Length` beside `Transfer-Encoding`, which servers and proxies have been seen to read differently.
- An answer before its request is on the way: the connection is closed.
"""

from gateway_async.http1.connection import HIGH_WATER, MAX_HEADER_BYTES, Response
from gateway_async.http1.errors import (
    ConnectFailed,
    ConnectTimeout,
    ProtocolError,
    Unfinished,
    compressed,
    distrusted,
    reason,
)
from gateway_async.http1.pool import Guard, Pool
from gateway_async.http1.request import USER_AGENT, Origin, head

__all__ = [
    "HIGH_WATER",
    "MAX_HEADER_BYTES",
    "USER_AGENT",
    "ConnectFailed",
    "ConnectTimeout",
    "Guard",
    "Origin",
    "Pool",
    "ProtocolError",
    "Response",
    "Unfinished",
    "compressed",
    "distrusted",
    "head",
    "reason",
]
