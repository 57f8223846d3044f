"""Running the app under uvicorn: one process, or several."""

import gc
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gateway_async.errors import GatewayError
from gateway_server.app import GatewayApp, create_app
from gateway_server.middleware.auth import Unkeyed
from gateway_server.serving import Tie, Worker
from gateway_server.slow import TimedConfig

_ACCESS_LOG, _UNKEYED = "GATEWAY_ACCESS_LOG", "GATEWAY_UNKEYED"
"""How the first process tells its workers, which begin anew from the environment."""

GARBAGE = 3000
"""Objects that the collector lets come together."""

BACKLOG = 4096
"""Connections that wait in the kernel until a worker takes them."""


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(message)s"},
        "bare": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "stream": "ext://sys.stderr",
        },
        "access": {"class": "logging.StreamHandler", "formatter": "bare", "stream": "ext://sys.stderr"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "gateway_server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "gateway_server.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        "gateway_async": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}


class Settings(NamedTuple):
    """How to run."""

    config_path: Path | None
    host: str
    port: int
    workers: int
    drain_seconds: float
    access_log: bool
    request_seconds: float = 60.0
    trusted_proxies: Sequence[str] = ()
    store: str | None = None
    unkeyed: Unkeyed = Unkeyed.LOCAL


def serve(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it; then requests under way may go on for `drain_seconds`.

    Args:
        settings: How to run.
        ready: Called with the server's address once connections to it are taken.

    Raises:
        GatewayError: The address can't be listened on.
    """
    if settings.config_path is None:
        os.environ.pop("MLFLOW_GATEWAY_CONFIG", None)
    else:
        os.environ["MLFLOW_GATEWAY_CONFIG"] = str(settings.config_path.absolute())
    os.environ[_ACCESS_LOG] = "1" if settings.access_log else ""
    os.environ[_UNKEYED] = settings.unkeyed.value
    if settings.store is not None:
        os.environ["GATEWAY_STORE"] = settings.store
    config = TimedConfig(
        "gateway_server.process:worker_app",
        request_seconds=settings.request_seconds,
        factory=True,
        workers=settings.workers,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        access_log=False,
        server_header=False,
        log_config=LOGGING,
        lifespan="on",
        ws="none",
        # By itself uvicorn believes every caller on this machine who says that he is another.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        backlog=BACKLOG,
    )
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    sys.stdout.flush()
    if settings.workers == 1:
        _work(config, listener, None)
    elif sys.platform == "linux":
        from gateway_server.workers import Workers

        work = partial(_work, config, listener)
        sys.exit(Workers(settings.workers, work, listener, settings.drain_seconds).run())
    else:
        _spawn(config, listener)


def _work(config: TimedConfig, listener: socket.socket, tie: Tie | None) -> None:
    """Serve in this process, to the end."""
    # uvicorn repeats a signal when all is done, for those who wait for it; here that ends the process, and well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Worker(config, tie).run(sockets=[listener])
    except KeyboardInterrupt:
        pass


def _spawn(config: TimedConfig, listener: socket.socket) -> None:
    """Have uvicorn's own manager start workers anew, where the system's libraries do not bear a fork."""
    from uvicorn.supervisors import Multiprocess

    Multiprocess(config, sockets=[listener]).run()


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections: from now on they wait until a worker answers them.

    Raises:
        GatewayError: The address is taken, or is none of this machine's.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as problem:
        listener.close()
        said = getattr(problem, "strerror", None) or problem
        raise GatewayError(
            f"can't listen on port {port} of {host!r}: {said}; choose others with --port and --host"
        ) from None
    listener.set_inheritable(True)
    return listener


def worker_app() -> GatewayApp:
    """The app of one worker, from what `serve` left in the environment."""
    # Older keys are a matter of the first process, which has told of them in a sentence.
    warnings.filterwarnings("ignore", category=FutureWarning, message=".*older key")
    try:
        app = create_app(access_log=bool(os.environ.get(_ACCESS_LOG)), unkeyed=Unkeyed(os.environ[_UNKEYED]))
    except (
        GatewayError
    ) as wrong:  # the file was changed since the first process read it; the manager will try again
        logging.getLogger("gateway_server").error(
            "a worker can't begin with the configuration as it is:\n%s", wrong
        )
        sys.exit(1)
    app.live.lenient = True  # `serve`'s caller has looked; and uvicorn ends all when one can't begin
    # What is there now stays: the collector need not look through it again and again while requests come. Those leave
    # hardly anything to it, so it may come less often; not much less, since a failed call leaves it its body.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    return app
