"""Services of somebody else's, each in the framework's usual way, with the gateway mounted under `/ai`.

Run as a program: `python -m tests.mounted.hosts FRAMEWORK WIRING CONFIG`. It prints its address when it takes
connections, and what is left of the gateway when its lifespan is over.

`wired` hands the gateway's lifespan to the framework, `closed` calls `app.aclose()` at its own end, `unwired` does
nothing at all, as most people who mount an app.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

PREFIX = "/ai"
DEEP = "/team/models/ai"
"""Where the same app is mounted again."""


def touched() -> str:
    """All of the process that a mounted app has no business with."""
    signals = {
        number: repr(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    loggers = [logging.getLogger(name) for name in (None, "uvicorn", "gateway_server", "gateway_async")]
    logs = [(log.name, log.level, log.handlers, log.propagate) for log in loggers]
    return f"{signals} {logs} {type(asyncio.get_event_loop_policy())} {sys.excepthook}"


def host_of(framework: str, gateway: Any, lifespan: Any) -> Any:
    """The service."""
    return {"starlette": _starlette, "fastapi": _fastapi, "litestar": _litestar}[framework](gateway, lifespan)


def _starlette(gateway: Any, lifespan: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    async def own(request: Request) -> JSONResponse:
        return JSONResponse({"own": touched()})

    # Mounts within mounts: each adds its part to the prefix.
    deep = Mount("/team", routes=[Mount("/models", routes=[Mount("/ai", app=gateway)])])
    return Starlette(routes=[Route("/own", own), Mount(PREFIX, app=gateway), deep], lifespan=lifespan)


def _fastapi(gateway: Any, lifespan: Any) -> Any:
    from fastapi import FastAPI, Request, Response

    app = FastAPI(lifespan=lifespan)

    @app.middleware("http")
    async def mark(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-host"] = "fastapi"
        return response

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {"own": touched()}

    app.mount(PREFIX, gateway)
    app.mount(DEEP, gateway)
    return app


def _litestar(gateway: Any, lifespan: Any) -> Any:
    from litestar import Litestar, asgi, get

    @get("/own")
    async def own() -> dict[str, str]:
        return {"own": touched()}

    mounted = [asgi(path, is_mount=True, copy_scope=True)(gateway) for path in (PREFIX, DEEP)]
    return Litestar([own, *mounted], lifespan=[lifespan] if lifespan else [])


def main(framework: str, wiring: str, config: str) -> None:
    """Serve until a signal comes."""
    from gateway_server import create_app, lifespan

    gateway = create_app(Path(config))

    @asynccontextmanager
    async def own_lifespan(host: Any) -> AsyncIterator[None]:
        if wiring == "wired":
            async with lifespan(gateway)(host):
                yield
        else:
            yield
            await gateway.aclose()
        # What the gateway had open must be closed now, and not only by the end of the process.
        await asyncio.sleep(0.1)
        left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
        print(json.dumps({"left": left}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)

    app = host_of(framework, gateway, None if wiring == "unwired" else own_lifespan)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    print(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
