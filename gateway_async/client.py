"""The asynchronous client of a gateway."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gateway_async.address import get_gateway_uri, resolve_route_url
from gateway_async.config import GatewayConfig, LimitsConfig, Route
from gateway_async.error_responses import only_on_databricks
from gateway_async.errors import BadRequest, ConfigError, GatewayError
from gateway_async.paging import PagedList
from gateway_async.payloads import payload, typed
from gateway_async.schemas import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    CompletionRequest,
    CompletionResponse,
    EmbeddingRequest,
    EmbeddingResponse,
)
from gateway_async.streaming import AsyncStream

if TYPE_CHECKING:
    import httpx

    from gateway_async.gateway_calls import Transport


class AsyncGatewayClient:
    """Client for a gateway, over one pool of connections; an async context manager.

    Works against this project's server, mlflow's own, and Databricks. May be pickled: the address and the settings
    travel, connections do not.

    Args:
        gateway_uri: The gateway's address, `http://localhost:5000`, `databricks` or `databricks://profile`. Else the
            one given to `set_gateway_uri()`, else `MLFLOW_GATEWAY_URI` of the environment.
        api_key: Sent as a bearer token. Else `GATEWAY_API_KEY` of the environment, if it is set.
        timeout: Seconds that a call may take, retries included. For a stream: until its first chunk, and from one
            chunk to the next.
        max_retries: How often a call is made again after 429, 500, 502, 503 or a refused connection. Waits as long
            as `Retry-After` asks, else longer from time to time. A timeout is not retried.
        http_client: An httpx client of your own, for proxies, certificates or a shared pool; you close it.

    Raises:
        GatewayError: No address is given and none is set; the message says how to set one.
    """

    def __init__(
        self,
        gateway_uri: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 300.0,
        max_retries: int = 3,
        http_client: "httpx.AsyncClient | None" = None,
    ) -> None:
        # Here, for httpx is a third of the time that importing this module would take.
        from gateway_async.transport import Http

        self._gateway_uri = gateway_uri or get_gateway_uri()
        self._settings: dict[str, Any] = {"api_key": api_key, "timeout": timeout, "max_retries": max_retries}
        self._local: GatewayConfig | None = None
        self._transport: Transport = Http(self._gateway_uri, client=http_client, **self._settings)
        self._borrowed = http_client is not None

    @classmethod
    def local(
        cls,
        config: GatewayConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        timeout: float | None = None,
    ) -> Self:
        """A client whose gateway runs in this process: the same calls, no server, no network between.

        Needs the extra `local`.

        Args:
            config: What the gateway serves: a configuration, a mapping in the form of the file, or the file's path.
                Without one, the `offline` provider and a route for each provider whose key is in the environment.
            timeout: Seconds that a whole answer may take, tries and waits between them included; None: as many as its
                route allows.

        Raises:
            ConfigError: The configuration is wrong, or the extra is not installed.
        """
        try:
            from gateway_async.config_file import load_config
            from gateway_async.local import Local
        except ImportError as absent:
            raise ConfigError(
                f"a gateway in this process needs {absent.name}: pip install 'ai-gateway-sdk[local]'"
            ) from absent
        client = cls.__new__(cls)
        client._gateway_uri, client._settings, client._borrowed = "local", {"timeout": timeout}, False
        client._local = load_config(Path(config) if isinstance(config, str | os.PathLike) else config)
        client._transport = Local(client._local, timeout)
        return client

    @property
    def gateway_uri(self) -> str:
        """The address of the gateway."""
        return self._gateway_uri

    async def health(self) -> dict[str, Any]:
        """`{"status": "OK"}` from a gateway that is up.

        Raises:
            GatewayError: It is not, or can't be reached.
        """
        return await self._transport.health()

    async def get_route(self, name: str) -> Route:
        """A route: its name, type, model (and `destinations`, where several answer), and the absolute address to call.

        Args:
            name: The route's name.

        Raises:
            RouteNotFound: The gateway has no such route.
        """
        return self._route(await self._transport.route(_named(name, "get_route")))

    async def search_routes(self, page_token: str | None = None) -> PagedList[Route]:
        """A page of the gateway's routes.

        Args:
            page_token: The `token` of the page before; absent for the first page.

        Returns:
            A list whose `token` asks for the next page, and is None on the last.
        """
        page = await self._transport.routes(page_token)
        return PagedList(
            [self._route(route) for route in page.get("routes", ())], page.get("next_page_token")
        )

    async def create_route(
        self, name: str, route_type: str | None = None, model: dict[str, Any] | None = None
    ) -> Route:
        """A new route, served from now on. Needs an admin's key, except of a gateway in this process.

        Args:
            name: The route's name.
            route_type: `llm/v1/chat`, `llm/v1/completions` or `llm/v1/embeddings`.
            model: `name`, `provider`, and the provider's settings under `config` or, as the documented example has
                it, under `<provider>_config`. A gateway's own environment and files can't be named there.

        Raises:
            AlreadyExists: The gateway has a route of that name.
            InvalidRequest: A field is wrong, or asks for what only the gateway's operator may give.
            GatewayError: The gateway does not create routes; mlflow's own does so on Databricks only.
        """
        return await self.create_route_from({"name": name, "route_type": route_type, "model": model})

    async def create_route_from(self, endpoint: dict[str, Any]) -> Route:
        """A new route, from an endpoint as in a configuration file, with all that one may have.

        Args:
            endpoint: `name`, `endpoint_type`, `model` and whatever else an endpoint may have. In the place of `model`
                may stand `destinations`, at most 32 such as `{"model": {…}, "weight": 3, "priority": 1}`; each brings
                settings of its own, as for `create_route`.

        Raises:
            GatewayError: As for `create_route`.
        """
        try:
            return self._route(await self._transport.create_route(endpoint))
        except GatewayError as refused:
            raise only_on_databricks(refused, "create_route", "creation", (404, 405, 501)) from refused

    async def update_route(self, name: str, changes: dict[str, Any]) -> Route:
        """A route that was made by `create_route`, with some of its settings changed. Needs an admin's key.

        Args:
            name: The route's name.
            changes: What changes, such as `{"model": {"name": "gpt-5"}}`; any key of an endpoint of the configuration
                file but the name. `None` takes a setting away. A provider's settings are one whole: who changes one
                gives all of them. So are `destinations`: who changes one gives all, with their settings. They take the
                place of a model, and a model takes theirs.

        Raises:
            RouteNotFound: The gateway has no such route.
            Conflict: It is a route of the gateway's configuration file.
            InvalidRequest: A field is wrong, or asks for what only the gateway's operator may give.
        """
        return self._route(await self._transport.update_route(_named(name, "update_route"), changes))

    async def export_route(self, name: str) -> dict[str, Any]:
        """A route that was made by `create_route`, as an endpoint of a configuration file. Needs an admin's key.

        Args:
            name: The route's name.

        Returns:
            The endpoint. In the place of each key is `$NAME` of an environment variable that is yet to be set; of
            several destinations, each has names of its own.

        Raises:
            RouteNotFound: The gateway's store has no such route.
        """
        return await self._transport.export_route(_named(name, "export_route"))

    async def delete_route(self, name: str) -> None:
        """Delete a route that was made by `create_route`. Needs an admin's key.

        Args:
            name: The route's name.

        Raises:
            RouteNotFound: The gateway has no such route.
            Conflict: It is a route of the gateway's configuration file.
            GatewayError: The gateway does not delete routes; mlflow's own does so on Databricks only.
        """
        _named(name, "delete_route")
        try:
            await self._transport.delete_route(name)
        except GatewayError as refused:
            raise only_on_databricks(refused, "delete_route", "deletion", (405, 501)) from refused

    async def query(self, route: str, data: dict[str, Any]) -> dict[str, Any]:
        """The route's answer to one request, in the standard shape of its type.

        Args:
            route: The route's name.
            data: For chat `{"messages": [{"role": "user", "content": "…"}]}`, for completions `{"prompt": "…"}`, for
                embeddings `{"text": ["…"]}` or `{"input": ["…"]}`; and any parameter that the provider takes, such
                as `temperature` or `max_tokens`.

        Raises:
            RouteNotFound: The gateway has no such route.
            InvalidRequest: A field of the request is wrong.
            RateLimited: Too many calls; `retry_after` says how long to wait.
            RequestTimeout: No answer came within the client's timeout.
        """
        return await self._transport.query(route, data)

    def stream(self, route: str, data: dict[str, Any]) -> AsyncStream[dict[str, Any]]:
        """The route's answer as it comes, chunk by chunk, in the standard shape of its type.

        Args:
            route: The name of a route for chat or completions.
            data: As for `query`.

        Returns:
            The chunks; see `AsyncStream` for who closes it.
        """
        return AsyncStream(lambda: self._transport.stream(route, data), _as_it_is)

    async def chat(self, route: str, request: ChatRequest | Mapping[str, Any]) -> ChatResponse:
        """The answer of a chat route, typed.

        Args:
            route: The route's name.
            request: The conversation; what is not set in it is not sent.

        Raises:
            GatewayError: As for `query`.
        """
        return typed(ChatResponse, await self._transport.query(route, payload(request)))

    async def completions(
        self, route: str, request: CompletionRequest | Mapping[str, Any]
    ) -> CompletionResponse:
        """The answer of a completions route, typed.

        Args:
            route: The route's name.
            request: The text to continue; what is not set in it is not sent.

        Raises:
            GatewayError: As for `query`.
        """
        return typed(CompletionResponse, await self._transport.query(route, payload(request)))

    async def embeddings(
        self, route: str, request: EmbeddingRequest | Mapping[str, Any]
    ) -> EmbeddingResponse:
        """The answer of an embeddings route, typed.

        Args:
            route: The route's name.
            request: The texts; what is not set in it is not sent.

        Raises:
            GatewayError: As for `query`.
        """
        return typed(EmbeddingResponse, await self._transport.query(route, payload(request)))

    def stream_chat(self, route: str, request: ChatRequest | Mapping[str, Any]) -> AsyncStream[ChatChunk]:
        """The answer of a chat route as it comes, typed.

        Args:
            route: The route's name.
            request: The conversation; what is not set in it is not sent.
        """
        return AsyncStream(lambda: self._transport.stream(route, payload(request)), partial(typed, ChatChunk))

    def stream_completions(
        self, route: str, request: CompletionRequest | Mapping[str, Any]
    ) -> AsyncStream[CompletionChunk]:
        """The answer of a completions route as it comes, typed.

        Args:
            route: The route's name.
            request: The text to continue; what is not set in it is not sent.
        """
        return AsyncStream(
            lambda: self._transport.stream(route, payload(request)), partial(typed, CompletionChunk)
        )

    async def set_limits(self, route: str, limits: list[dict[str, Any]]) -> LimitsConfig:
        """The limits of a route, after these have replaced those it had. Needs an admin's key.

        Args:
            route: The route's name.
            limits: Each `{"calls": 50, "renewal_period": "minute", "key": "user"}`; `key` is `user` for a limit per
                caller, `route` or absent for one that all callers share. `tokens` may stand for `calls`, or beside it.

        Raises:
            RouteNotFound: The gateway has no such route.
            GatewayError: The gateway does not set limits; mlflow's own does so on Databricks only.
        """
        return typed(LimitsConfig, await self._transport.set_limits({"route": route, "limits": limits}))

    async def get_limits(self, route: str) -> LimitsConfig:
        """The limits of a route.

        Args:
            route: The route's name.

        Raises:
            RouteNotFound: The gateway has no such route.
            GatewayError: The gateway does not tell limits; mlflow's own does so on Databricks only.
        """
        return typed(LimitsConfig, await self._transport.limits(_named(route, "get_limits")))

    async def reset_limits(self, route: str) -> LimitsConfig:
        """The limits of a route, once those from `set_limits` are forgotten: its configuration's hold again.

        Args:
            route: The route's name.

        Raises:
            RouteNotFound: The gateway has no such route.
        """
        return typed(LimitsConfig, await self._transport.reset_limits(_named(route, "reset_limits")))

    async def aclose(self) -> None:
        """Close the connections, except those of an `http_client` of your own."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._borrowed:
            raise TypeError(
                "a client with an http_client of your own can't be pickled: its connections stay here"
            )
        return _rebuild, (type(self), self._gateway_uri, self._settings, self._local)

    def _route(self, route: Any) -> Route:
        found = typed(Route, route)
        return found.model_copy(update={"route_url": resolve_route_url(self._gateway_uri, found.route_url)})


def _rebuild(
    cls: type[AsyncGatewayClient], uri: str, settings: dict[str, Any], local: GatewayConfig | None
) -> AsyncGatewayClient:
    return cls(uri, **settings) if local is None else cls.local(local, **settings)


def _named(name: str, call: str) -> str:
    """The name of a route: without one, the address would be that of all routes."""
    if not name:
        raise BadRequest(f"{call} needs the name of a route")
    return name


def _as_it_is(chunk: dict[str, Any]) -> dict[str, Any]:
    return chunk
