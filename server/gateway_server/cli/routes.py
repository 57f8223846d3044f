"""The command line of routes and limits of a running gateway: `gateway routes …`, `gateway limits …`."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.markup import escape

from gateway_async import AsyncGatewayClient, GatewayError, Route
from gateway_async.audit import COMMAND_LINE, change_entry
from gateway_async.config import Limit, LimitsConfig
from gateway_server.cli.console import (
    DEFAULT_URI,
    ApiKey,
    AsJson,
    Uri,
    fail,
    out,
    route_table,
    run_call,
    table,
)
from gateway_server.cli.store import tell_others, with_store

Json = dict[str, Any]
T = TypeVar("T")

routes = typer.Typer(
    help="List the routes of a running gateway; with an admin's key make, change, delete and export them.",
    invoke_without_command=True,
)
limits = typer.Typer(
    help="Show the limits of a route of a running gateway; with an admin's key set them.",
    no_args_is_help=True,
)

OtherUri = Annotated[
    str | None,
    typer.Option("--uri", help="Address of the gateway; else MLFLOW_GATEWAY_URI.", show_default=False),
]
OtherKey = Annotated[
    str | None, typer.Option("--api-key", help="Your key; else GATEWAY_API_KEY.", show_default=False)
]
Name = Annotated[str, typer.Argument(help="The route's name.")]
From = Annotated[
    Path,
    typer.Argument(
        help="A file in YAML or JSON, '-' for standard input: an endpoint as in the configuration file."
    ),
]


@routes.callback()
def listing(
    context: typer.Context, uri: Uri = DEFAULT_URI, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """List the routes of a running gateway; with an admin's key make, change, delete and export them."""
    context.obj = (uri, api_key)
    if context.invoked_subcommand is None:
        _show(_ask(context, None, None, _all), as_json=as_json)


@routes.command()
def create(
    context: typer.Context,
    file: From,
    uri: OtherUri = None,
    api_key: OtherKey = None,
    as_json: AsJson = False,
) -> None:
    """Make a route, or several where the file has `endpoints:`. Keys stand in it as they are."""
    found = _read(file)
    wanted = found["endpoints"] if isinstance(found.get("endpoints"), list) else [found]

    made: list[Route] = []

    async def each(client: AsyncGatewayClient) -> None:
        for endpoint in wanted:
            made.append(await client.create_route_from(endpoint))

    try:
        _ask(context, uri, api_key, each)
    finally:
        if made or as_json:
            _show(made, as_json=as_json)


@routes.command()
def update(
    context: typer.Context,
    name: Name,
    file: From,
    uri: OtherUri = None,
    api_key: OtherKey = None,
    as_json: AsJson = False,
) -> None:
    """Change a route: what the file has takes the place of what it had."""
    changes = _read(file)
    _show([_ask(context, uri, api_key, lambda client: client.update_route(name, changes))], as_json=as_json)


@routes.command()
def delete(
    context: typer.Context,
    name: Name,
    store: Annotated[
        str | None, typer.Option(help="Delete it from this store, whether a gateway runs or not.")
    ] = None,
    uri: OtherUri = None,
    api_key: OtherKey = None,
) -> None:
    """Delete a route."""
    if store is None:
        _ask(context, uri, api_key, lambda client: client.delete_route(name))
    else:
        entry = change_entry("route.delete", name, COMMAND_LINE)
        with_store(store, lambda kept: kept.routes.delete(name, entry))
        tell_others(store)
    out.print(f"deleted {escape(name)}")


@routes.command()
def export(
    context: typer.Context,
    name: Annotated[list[str], typer.Argument(help="The routes' names.")],
    uri: OtherUri = None,
    api_key: OtherKey = None,
    as_json: AsJson = False,
) -> None:
    """Write routes that were made at run time as a configuration file; for keys it has `$NAME` of variables to set."""

    async def each(client: AsyncGatewayClient) -> list[Json]:
        return [await client.export_route(one) for one in name]

    document = {"endpoints": _ask(context, uri, api_key, each)}
    print(
        json.dumps(document) if as_json else yaml.safe_dump(document, sort_keys=False, allow_unicode=True),
        end="\n" if as_json else "",
    )


@limits.callback()
def of_limits(context: typer.Context, uri: Uri = DEFAULT_URI, api_key: ApiKey = None) -> None:
    """Show the limits of a route of a running gateway; with an admin's key set them."""
    context.obj = (uri, api_key)


@limits.command()
def get(
    context: typer.Context,
    name: Name,
    uri: OtherUri = None,
    api_key: OtherKey = None,
    as_json: AsJson = False,
) -> None:
    """Show the limits of a route."""
    _show_limits(_ask(context, uri, api_key, lambda client: client.get_limits(name)), as_json=as_json)


@limits.command(name="set")
def set_(
    context: typer.Context,
    name: Name,
    limit: Annotated[
        list[str] | None,
        typer.Argument(
            help="Each such as 100/minute, 10/minute/user or 50000tokens/hour. Without any, the route has no limits."
        ),
    ] = None,
    uri: OtherUri = None,
    api_key: OtherKey = None,
    as_json: AsJson = False,
) -> None:
    """Give a route these limits in the place of those that it has."""
    wanted = [_limit(text) for text in limit or ()]
    found = _ask(context, uri, api_key, lambda client: client.set_limits(name, wanted))
    _show_limits(found, as_json=as_json)


@limits.command()
def reset(
    context: typer.Context,
    name: Name,
    uri: OtherUri = None,
    api_key: OtherKey = None,
    as_json: AsJson = False,
) -> None:
    """Forget the limits that were set for a route: those of the configuration file hold again."""
    _show_limits(_ask(context, uri, api_key, lambda client: client.reset_limits(name)), as_json=as_json)


def _client(uri: str, api_key: str | None) -> AsyncGatewayClient:
    try:
        return AsyncGatewayClient(uri, api_key=api_key, max_retries=0)
    except GatewayError as problem:
        fail(problem.message)


async def _all(client: AsyncGatewayClient) -> list[Route]:
    page = await client.search_routes()
    found = page.to_list()
    while page.token is not None:
        page = await client.search_routes(page.token)
        found += page
    return found


def _ask(
    context: typer.Context,
    uri: str | None,
    api_key: str | None,
    call: Callable[[AsyncGatewayClient], Awaitable[T]],
) -> T:
    """What the gateway answers to a call: the one named behind the command, or before it, or in the environment."""
    client = _client(uri or context.obj[0], api_key or context.obj[1])

    async def ask() -> T:
        async with client:
            return await call(client)

    return run_call(ask())


def _read(file: Path) -> Json:
    """What a file holds, or standard input."""
    source = "standard input" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        found = yaml.safe_load(text)
    except OSError as problem:
        fail(f"{source} can't be read: {problem.strerror}", 2)
    except (yaml.YAMLError, ValueError):
        fail(f"{source} holds neither YAML nor JSON", 2)
    if not isinstance(found, dict):
        fail(f"{source} holds no mapping; an endpoint is expected, as in the configuration file", 2)
    return found


def _limit(text: str) -> Json:
    """`10/minute/user` or `50000tokens/hour`, as a limit."""
    amount, _, rest = text.partition("/")
    period, _, key = rest.partition("/")
    number = amount.removesuffix("tokens").strip()
    if not (number.isdecimal() and period):
        fail(f"{text!r} is no limit; write 100/minute, 10/minute/user or 50000tokens/hour", 2)
    unit = "tokens" if amount.endswith("tokens") else "calls"
    return {unit: int(number), "renewal_period": period, **({"key": key} if key else {})}


def _show(found: list[Route], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([route.model_dump(mode="json") for route in found]))
    else:
        out.print(route_table(found))


def _show_limits(found: LimitsConfig, *, as_json: bool) -> None:
    if as_json:
        print(found.model_dump_json())
    elif not found.limits:
        out.print("no limits")
    else:
        out.print(table(("limit", "per", "counted"), [_row(limit) for limit in found.limits]))


def _row(limit: Limit) -> tuple[str, str, str]:
    told = limit.model_dump()
    amounts = " and ".join(f"{told[unit]} {unit}" for unit in ("calls", "tokens") if unit in told)
    return amounts, limit.renewal_period, "for each caller" if limit.key == "user" else "for all together"
