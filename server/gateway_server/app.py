"""The ASGI app: routes, middleware, and resources that open on first use."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway_async.config import GatewayConfig
from gateway_async.config_file import load_config
from gateway_async.errors import GatewayError, MethodNotAllowed, NotFound, Unavailable, error_code
from gateway_async.keys.changes import KeyChanges, check_names
from gateway_async.keys.ring import ADMIN_KEY, KeyRing
from gateway_async.live.hosting import host
from gateway_async.stores.base import AuditEntry
from gateway_async.stores.places import store_address
from gateway_async.tasks import ended
from gateway_server.api import docs, health, invocations, keys, limits, openai, routes
from gateway_server.audit import Refusals
from gateway_server.dialects import dialect_of
from gateway_server.middleware.access_log import AccessLines
from gateway_server.middleware.auth import Auth, Unkeyed
from gateway_server.middleware.body_limit import BodyLimit
from gateway_server.middleware.envelope import Envelope
from gateway_server.middleware.model_calls import ModelCalls
from gateway_server.middleware.pressure import Pressure, places_of
from gateway_server.mount import mounted, path_within
from gateway_server.reload import read, watch
from gateway_server.responses import LEFT, error_headers

_log = logging.getLogger("gateway_server")

ConfigSource = GatewayConfig | Mapping[str, Any] | str | os.PathLike[str] | None


class GatewayApp(Starlette):
    """The gateway as an ASGI app. Make it with `create_app`.

    Attributes:
        gateway: The engine that answers.
        keys: The keys that open it.
        refusals: Who was refused.
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        path: Path | None,
        content: bytes | None,
        access_log: bool,
        unkeyed: Unkeyed = Unkeyed.UNTIL_KEYS,
        store: str | None = None,
        gives_way: bool = False,
    ) -> None:
        self.live, self.changes = host(
            config, store=store, path=path, gives_way=gives_way, on_refusal=self._forbidden
        )
        self.gateway = self.live.gateway
        self._kept = kept = self.live.store if store is not None else None
        self._opening: asyncio.Task[None] | None = None
        self._open_in: asyncio.AbstractEventLoop | None = None
        self._path = path
        self._content = content
        self._watcher: asyncio.Task[None] | None = None
        self._body_limit = _body_limit(config)
        self._places = places_of(config.server.concurrency)
        self._access_lines = AccessLines()
        self._unkeyed, self._welcome = unkeyed, config.server.allow_unauthenticated
        self.keys = KeyRing(None if kept is None else kept.keys, revision=lambda: self.live.revision)
        self.keys.configure(config.api_keys, os.environ.get(ADMIN_KEY))
        self.refusals = Refusals(lambda: None if kept is None else kept.audit)
        of_models = [*invocations.routes(self.live), *openai.routes(self.live)]
        super().__init__(
            routes=[
                *of_models,
                *health.routes(),
                *limits.routes(self.live, self.changes),
                *keys.routes(KeyChanges(kept, lambda: self.keys.own, self.live.changed)),
                *routes.routes(self.live, self.changes),
                *docs.routes(),
            ],
            middleware=[
                Middleware(Envelope, lines=self._access_lines if access_log else None),
                Middleware(
                    Auth,
                    ring=self.keys,
                    unkeyed=lambda: Unkeyed.WELCOME if self._welcome else self._unkeyed,
                    refused=self.refusals.note,
                ),
                Middleware(Pressure, places=lambda: self._places),
                Middleware(BodyLimit, max_bytes=lambda: self._body_limit),
                Middleware(ModelCalls, routes=of_models),
            ],
            exception_handlers={
                GatewayError: _on_gateway_error,
                HTTPException: _on_http_error,
                ClientDisconnect: _on_left,
            },
            lifespan=lifespan(self),
        )
        self.router.redirect_slashes = False  # see `_with_the_other_slash`

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the first opens what is needed, since a host may run no lifespan of a mounted app."""
        if scope["type"] == "http":
            if self._open_in is not asyncio.get_running_loop():
                await self.open()
            if self.live.stale:
                await self.live.catch_up()
            if scope.get("raw_path") != scope["path"].encode(errors="replace"):
                scope = mounted(scope)
        await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette's, but for what answers 500 around all of it: `Envelope` does, in the caller's dialect."""
        app: ASGIApp = ExceptionMiddleware(self.router, handlers=self.exception_handlers, debug=self.debug)
        for cls, args, kwargs in reversed(self.user_middleware):
            app = cls(app, *args, **kwargs)
        return app

    async def open(self) -> None:
        """Take up what the store holds, and follow it and the configuration file. May be called again, in each loop.

        Raises:
            ConfigError: The store is none that this gateway can serve.
        """
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening.get_loop() is not loop:
            self._opening = loop.create_task(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        try:
            await self.live.open()
        except BaseException:
            self._opening = None  # the next request tries again, whoever waited for this time
            raise
        await ended(self._watcher, cancel=True)  # which is of another loop
        if self._path is not None:
            self._watcher = asyncio.create_task(watch(self._path, self._content, self._reload))
        self._open_in = asyncio.get_running_loop()

    async def _reload(self, config: GatewayConfig) -> None:
        before = self.live.config
        if config.api_keys != before.api_keys:
            await self._check_keys(config)
        await self.live.configure(config)
        self.keys.configure(config.api_keys, os.environ.get(ADMIN_KEY))
        self._welcome = config.server.allow_unauthenticated
        self._body_limit = _body_limit(config)
        self._places = places_of(config.server.concurrency, self._places)
        if later := _at_next_start(before, config):
            _log.warning("%s: changed, and in force from the next start on", ", ".join(later))

    async def _check_keys(self, config: GatewayConfig) -> None:
        """Accept the names of the configured keys, unless the store says that they are taken."""
        if self._kept is None:
            return
        try:
            stored = await self._kept.keys.all()
        except Unavailable:
            return  # the next start looks again
        check_names(config.api_keys, stored, time.time())

    def _forbidden(self, host: str, address: str) -> None:
        """Note that a route made over the API would have reached what it may not."""
        detail = f"{host} leads to {address}, where routes made over the API may not go"
        self.refusals.add(
            AuditEntry(action="call", target=host, actor="nobody", outcome="refused", detail=detail)
        )

    async def aclose(self) -> None:
        """Close the connections, and follow file and store no more. The next request opens them again."""
        opening, self._opening = self._opening, None
        await ended(opening)
        self._open_in = None
        watcher, self._watcher = self._watcher, None
        await ended(watcher, cancel=True)
        self._access_lines.flush()
        await self.refusals.aclose()
        await self.keys.aclose()
        await self.live.aclose()


def create_app(
    config: ConfigSource = None,
    *,
    access_log: bool = False,
    unkeyed: Unkeyed = Unkeyed.UNTIL_KEYS,
    store: str | None = None,
) -> GatewayApp:
    """The gateway as an ASGI app, to run or to mount.

    Mounted under a prefix, the prefix is part of every address that it hands out. A host that does not run the
    lifespan of mounted apps may call `app.aclose()` at its end, or wire `gateway_server.lifespan`.

    Args:
        config: A configuration; a mapping in the form of the file; the file's path, which is then watched; or None,
            for the file that `MLFLOW_GATEWAY_CONFIG` names, or without one the `offline` provider and a route for
            each provider whose key is in the environment.
        access_log: Log a line for every request to the logger `gateway_server.access`; lines that come close together
            make one record.
        unkeyed: What becomes of calls that come without a key. `server.allow_unauthenticated` welcomes them.
        store: Where routes, limits and keys made at run time are kept: `sqlite:///gateway.db` or `postgresql://…`.
            Else `GATEWAY_STORE`, else the configuration's `store`; without any, nothing can be changed at run time.

    Raises:
        ConfigError: The configuration is wrong.
    """
    if config is None:
        config = os.environ.get("MLFLOW_GATEWAY_CONFIG") or None
    path = Path(config).absolute() if isinstance(config, str | os.PathLike) else None
    content = None if path is None else read(path)
    loaded = load_config(config if path is None else path)  # type: ignore[arg-type] # what is no path
    return GatewayApp(
        loaded,
        path=path,
        content=content,
        access_log=access_log,
        unkeyed=unkeyed,
        store=store_address(store, loaded.store),
        gives_way=config is None,
    )


def _body_limit(config: GatewayConfig) -> int:
    return int(config.server.max_body_mb * 2**20)


def _at_next_start(before: GatewayConfig, now: GatewayConfig) -> list[str]:
    """The settings that differ and that a gateway which runs does not take up."""
    of_server = ("request_seconds", "drain_seconds", "trusted_proxies")
    return [name for name in ("store", "counters") if getattr(before, name) != getattr(now, name)] + [
        f"server.{name}" for name in of_server if getattr(before.server, name) != getattr(now.server, name)
    ]


def lifespan(*apps: GatewayApp) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """A lifespan for the host that these apps are mounted in: opens them at its start, closes them at its end."""

    @asynccontextmanager
    async def run(host: Any) -> AsyncIterator[None]:
        try:
            for app in apps:
                await app.open()
            yield
        finally:
            for app in apps:
                await app.aclose()

    return run


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    request.app.refusals.note(request.scope, error)
    status, body = dialect_of(path_within(request.scope)).error(error)
    response = Response(body, status, media_type="application/json")
    response.raw_headers += error_headers(error)
    return response


async def _on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an address or a method that there is not."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    if error.status_code == 404:
        if (meant := _with_the_other_slash(request)) is not None:
            return RedirectResponse(meant)
        docs_path = request.scope.get("root_path", "") + "/docs"
        told: GatewayError = NotFound(
            f"there is nothing at {method} {path}; GET {docs_path} shows what there is"
        )
    elif error.status_code == 405:
        allowed = ", ".join(_methods_at(request))
        error.headers = {"Allow": allowed}
        told = MethodNotAllowed(f"{path} does not take {method}; it takes {allowed}")
    else:
        told = GatewayError(error.detail, status=error.status_code, error_code=error_code(error.status_code))
    response = await _on_gateway_error(request, told)
    response.headers.update(error.headers or {})
    return response


def _with_the_other_slash(request: Request) -> str | None:
    """The address that was meant, where a slash at its end is too much or is missing; None where it is not that.

    Without a host, since the Host header says what its sender likes; and without a scheme, since whoever ends TLS in
    front of this server knows it, and a key must not be sent again without TLS.
    """
    path, query = request.scope["path"], request.url.query
    meant = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    scope = {**request.scope, "path": meant}
    if all(route.matches(scope)[0] is Match.NONE for route in request.app.routes):
        return None
    return quote(meant) + (f"?{query}" if query else "")


def _methods_at(request: Request) -> list[str]:
    """The methods that an address takes: of all its routes, where Starlette tells those of the first."""
    matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted(
        {method for route in matching if isinstance(route, Route) for method in route.methods or ()}
    )


async def _on_left(request: Request, error: Exception) -> Response:
    """For nobody to read: the caller left before its body was whole."""
    return Response(status_code=LEFT.status)
