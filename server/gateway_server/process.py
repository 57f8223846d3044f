"""Running the app under uvicorn: one process, or several under uvicorn's own manager."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway_server.app import GatewayApp, create_app

_ACCESS_LOG = "GATEWAY_ACCESS_LOG"
"""How the first process tells its workers, which begin anew from the environment."""

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
    },
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "gateway_server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
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


def serve(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it; then requests under way may go on for `drain_seconds`.

    Args:
        settings: How to run.
        ready: Called with the server's address once connections to it are taken.
    """
    if settings.config_path is None:
        os.environ.pop("MLFLOW_GATEWAY_CONFIG", None)
    else:
        os.environ["MLFLOW_GATEWAY_CONFIG"] = str(settings.config_path.absolute())
    os.environ[_ACCESS_LOG] = "1" if settings.access_log else ""
    config = uvicorn.Config(
        "gateway_server.process:worker_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        access_log=False,
        server_header=False,
        log_config=LOGGING,
        lifespan="on",
        http="httptools",
        ws="none",
        backlog=4096,
    )
    socket = config.bind_socket()
    # Connections wait in the socket's queue until a worker takes them: nobody who reads the greeting is refused.
    socket.listen(config.backlog)
    host, port = socket.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{port}")
    sys.stdout.flush()
    if settings.workers > 1:
        Multiprocess(config, sockets=[socket]).run()
    else:
        uvicorn.Server(config).run(sockets=[socket])


def worker_app() -> GatewayApp:
    """The app of one worker, from what `serve` left in the environment."""
    app = create_app(access_log=bool(os.environ.get(_ACCESS_LOG)))
    # What is there now stays: the collector need not look through it again and again while requests come.
    gc.collect()
    gc.freeze()
    return app
