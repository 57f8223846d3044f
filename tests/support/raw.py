"""HTTP that no client library would send."""

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.support.server import Server


@dataclass(frozen=True)
class RawAnswer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def request(line: str, *headers: bytes, body: bytes = b"", length: bool = True) -> bytes:
    """The bytes of a request, such as `POST /v1/embeddings`."""
    sized = [b"content-length: %d" % len(body)] if length else []
    lines = [f"{line} HTTP/1.1".encode("latin-1"), b"host: localhost", *headers, *sized]
    return b"\r\n".join([*lines, b"", body])


def chunked(pieces: Iterable[bytes]) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def exchange(server: Server, data: bytes) -> RawAnswer:
    """Send bytes, and read one answer.

    Raises:
        http.client.HTTPException: None came.
        TimeoutError: None came in time.
    """
    with server.connect() as connection:
        try:
            connection.sendall(data)
        except ConnectionError:
            pass  # the answer may be there before all of the request is
        method = "HEAD" if data.startswith(b"HEAD") else "POST"
        with http.client.HTTPResponse(connection, method=method) as response:
            response.begin()
            return RawAnswer(response.status, response.headers, response.read())
