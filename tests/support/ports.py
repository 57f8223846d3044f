"""Ports for tests that need one that is their own."""

import atexit
import socket


def closed_port() -> int:
    """A port on which nobody listens, and nobody will: it stays taken until the process ends."""
    held = socket.socket()
    atexit.register(held.close)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    return port


def free_port() -> int:
    """A port that was free a moment ago, for a server that is told where to listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port
