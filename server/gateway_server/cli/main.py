"""The command line: `gateway start`, `check`, `routes`, `query`, `keys`, `audit`."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from gateway_async import AsyncGatewayClient, GatewayError
from gateway_async.config import GatewayConfig
from gateway_async.config_file import Document, load_config, sentence
from gateway_async.errors import ConfigError
from gateway_async.gateway import Gateway
from gateway_async.live.hosting import misplaced
from gateway_async.stores.places import default_store, store_address
from gateway_server.cli.console import DEFAULT_URI, ApiKey, AsJson, Uri, err, fail, out, route_table, run_call
from gateway_server.cli.keys import audit, keys
from gateway_server.cli.routes import limits, routes

if TYPE_CHECKING:
    from gateway_server.opening import Opening

SHOWN = 50
"""Routes that a start shows; there may be thousands."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An AI gateway: one address for models of every provider.",
)
app.add_typer(routes, name="routes")
app.add_typer(limits, name="limits")
app.add_typer(keys, name="keys")
app.command()(audit)


@app.command()
def start(
    config_path: Annotated[
        Path | None,
        typer.Option(
            envvar="MLFLOW_GATEWAY_CONFIG", help="The configuration file; it is watched for changes."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 5000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 2,
    drain_seconds: Annotated[
        float | None, typer.Option(min=0, help="How long requests under way may go on at the end.")
    ] = None,
    access_log: Annotated[bool, typer.Option(help="Log a line for every request.")] = True,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="GATEWAY_STORE",
            help="Where routes, limits and keys made at run time are kept: sqlite:///file.db or postgresql://…; a file "
            "of the user's own unless said otherwise.",
        ),
    ] = None,
    allow_unauthenticated: Annotated[
        bool,
        typer.Option(
            "--allow-unauthenticated", help="Serve callers without a key, whoever can reach the address."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the gateway. Without a configuration it serves a model that needs no key and no network."""
    from gateway_server.opening import settle
    from gateway_server.process import Settings, serve

    config = _loaded(config_path)
    drain = config.server.drain_seconds if drain_seconds is None else drain_seconds
    try:
        address = store_address(store, config.store) or default_store()
        opening = asyncio.run(
            settle(config, address, host, welcome=allow_unauthenticated, gives_way=config_path is None)
        )
        serve(
            Settings(
                *(config_path, host, port, workers, drain, access_log),
                request_seconds=config.server.request_seconds,
                trusted_proxies=config.server.trusted_proxies,
                store=address,
                unkeyed=opening.unkeyed,
            ),
            ready=lambda at: _greet(at, config.routes, config_path, opening, as_json=as_json),
        )
    except GatewayError as problem:
        fail(problem.message)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration file.")],
    as_json: AsJson = False,
) -> None:
    """Say whether a configuration is right; where it is not, which line, endpoint and key. Exit 2 if it is wrong."""
    problems: list[dict[str, Any]] = []
    unknown: list[dict[str, Any]] = []
    routes = 0
    try:
        document = Document.read(file)
        unknown = document.unknown_keys()
        unknown += [
            {"line": None, "endpoint": None, "key": old, "problem": "an older key, which still loads"}
            for old in document.old_keys()
        ]
        config = document.config()
        routes = len(config.routes)
        problems = document.unserved(_unserved(Gateway(config), config))
        problems += [document.wrong(key, problem) for key, problem in misplaced(config)]
    except ConfigError as wrong:
        problems = wrong.problems or [{"line": None, "endpoint": None, "key": None, "problem": wrong.message}]
    if as_json:
        print(json.dumps({"ok": not problems, "routes": routes, "problems": problems, "warnings": unknown}))
    else:
        for entry in unknown:
            err.print(f"[yellow]warning[/] {escape(sentence(str(file), entry))}")
        for entry in problems:
            err.print(f"[red]error[/] {escape(sentence(str(file), entry))}")
        if not problems:
            out.print(f"{escape(str(file))}: right, with {routes} {'route' if routes == 1 else 'routes'}")
    if problems:
        raise typer.Exit(2)


def _unserved(gateway: Gateway, config: GatewayConfig) -> dict[str, dict[str, str]]:
    """Why each route that can't be served can't be, by where in it the reason stands."""
    reasons = gateway.unserved()
    return {
        route.name: {f"{at}.provider": why.message for at, why in gateway.misfits(route).items()}
        or {"": reasons[route.name]}
        for route in config.routes
        if route.name in reasons
    }


@app.command()
def query(
    route: Annotated[str, typer.Argument(help="The route's name.")],
    text: Annotated[str, typer.Argument(help="What to say; '-' reads it from standard input.")],
    uri: Uri = DEFAULT_URI,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask a route, and see the answer as it comes."""
    run_call(_query(uri, api_key, route, sys.stdin.read() if text == "-" else text, as_json=as_json))


async def _query(uri: str, api_key: str | None, name: str, text: str, *, as_json: bool) -> None:
    async with AsyncGatewayClient(uri, api_key=api_key, max_retries=0) as client:
        kind = (await client.get_route(name)).route_type
        data: dict[str, Any] = {"input": text}
        if kind == "llm/v1/chat":
            data = {"messages": [{"role": "user", "content": text}]}
        elif kind == "llm/v1/completions":
            data = {"prompt": text}
        if as_json:
            print(json.dumps(await client.query(name, data)))
        elif "input" in data:
            _show_embedding((await client.query(name, data))["data"][0]["embedding"])
        else:
            async with client.stream(name, data) as stream:
                async for chunk in stream:
                    _show_chunk(chunk)
            print()


def _show_chunk(chunk: dict[str, Any]) -> None:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        piece = choice.get("text") or delta.get("content") or ""
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            piece += (f"{function['name']} " if function.get("name") else "") + (
                function.get("arguments") or ""
            )
        print(piece, end="", flush=True)


def _show_embedding(vector: list[float]) -> None:
    shown = ", ".join(f"{value:.4f}" for value in vector[:8])
    print(f"{len(vector)} dimensions: {shown}, …")


def _loaded(path: Path | None) -> Any:
    try:
        if path is None:
            return load_config(None)
        document = Document.read(path)
        for entry in document.unknown_keys():
            err.print(f"[yellow]warning[/] {escape(sentence(str(path), entry))}")
        for old in document.old_keys():
            err.print(f"[yellow]warning[/] {escape(str(path))}: {old!r} is an older key, which still loads")
        return document.config()
    except ConfigError as wrong:
        fail(wrong.message, 2)


def _greet(address: str, routes: list[Any], path: Path | None, opening: "Opening", *, as_json: bool) -> None:
    """Say where the gateway is, what it serves, and a line to copy."""
    told, admin_key = [route.to_route() for route in routes], opening.admin_key_file
    if as_json:
        listed = [route.model_dump(mode="json") for route in told]
        where = None if admin_key is None else str(admin_key)
        told_all = {"address": address, "pid": os.getpid(), "routes": listed, "admin_key_file": where}
        print(json.dumps(told_all), flush=True)
        return
    source = (
        escape(str(path))
        if path
        else "no configuration: nothing here needs a key, but the routes named after one"
    )
    out.print(f"\n[bold]AI gateway[/] at [bold cyan]{address}[/]  ({source})\n")
    out.print(route_table(told[:SHOWN]))
    if len(told) > SHOWN:
        out.print(f"[dim]and {len(told) - SHOWN} more: gateway routes[/]")
    if opening.stored_routes:
        out.print(f"[dim]and {opening.stored_routes} made at run time: gateway routes[/]")
    if told:
        kind, name = told[0].route_type, told[0].name
        data: dict[str, Any] = {"input": "Hello"}
        if kind == "llm/v1/chat":
            data = {"messages": [{"role": "user", "content": "Hello"}]}
        elif kind == "llm/v1/completions":
            data = {"prompt": "Hello"}
        body = json.dumps(data)
        key = ' -H "Authorization: Bearer $GATEWAY_API_KEY"' if opening.wants_keys else ""
        curl = (
            f"curl {address}/gateway/{name}/invocations{key} -H 'Content-Type: application/json' -d '{body}'"
        )
        code = f"from gateway_sync import GatewayClient; print(GatewayClient('{address}').query('{name}', {body}))"
        out.print(f"\n[dim]curl[/]    {escape(curl)}")
        out.print(f"[dim]python[/]  {escape(code)}")
    if opening.wants_keys:
        out.print(
            "[dim]keys[/]    calls need one: GATEWAY_API_KEY, made by `gateway keys create --name NAME`"
        )
    if admin_key is not None:
        out.print(f"[dim]admin[/]   the key for changes is in {escape(str(admin_key))}")
    out.print(f"[dim]docs[/]    {address}/docs\n")
    out.file.flush()


def run() -> None:
    """Run the command line."""
    try:
        app(prog_name="gateway", standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
