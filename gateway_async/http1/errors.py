"""What can go wrong between a client and a server of HTTP/1.1."""

import os
import ssl


class ProtocolError(Exception):
    """The server sent what is not HTTP, or more than there may be."""


class ConnectFailed(OSError):
    """No connection could be made."""


class ConnectTimeout(TimeoutError):
    """No connection was made in time."""


class Unfinished(TimeoutError):
    """An answer that had begun was not whole in time."""


def compressed(coding: str) -> ProtocolError:
    """The error for an answer that would have to be unpacked: nobody asked for it, and it may unpack to anything."""
    return ProtocolError(f"the answer is compressed ({coding}), though the gateway asked for none of that")


def distrusted(problem: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate."""
    return f"its certificate is not valid: {problem.verify_message}"


def reason(problem: OSError) -> str:
    """Why no connection could be made, without the words that a loop puts around it."""
    if problem.errno is not None and problem.errno > 0 and not isinstance(problem, ssl.SSLError):
        return os.strerror(problem.errno)
    return problem.strerror or str(problem) or type(problem).__name__
