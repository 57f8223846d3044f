"""What the commands of `gateway` share: where they write, the options that many have, calls of a running gateway."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway_async import GatewayError, Route

T = TypeVar("T")

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

DEFAULT_URI = "http://127.0.0.1:5000"

Uri = Annotated[str, typer.Option(envvar="MLFLOW_GATEWAY_URI", help="Address of the gateway.")]
ApiKey = Annotated[
    str | None, typer.Option(envvar="GATEWAY_API_KEY", help="Your key, where the gateway wants one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]


def run_call(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine; an error is said on standard error, and ends the command with exit code 1."""
    try:
        return asyncio.run(coroutine)
    except GatewayError as error:
        fail(error.message)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong, and end the command."""
    err.print(f"[red]error[/] {escape(message)}")
    raise typer.Exit(code) from None


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Rows for a person."""
    made = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def route_table(routes: Iterable[Route]) -> Table:
    """Routes for a person."""
    rows = [(r.name, r.route_type, r.model.provider, _models(r)) for r in routes]
    return table(("route", "type", "provider", "model"), rows)


def _models(route: Route) -> str:
    """The route's model, and how many others answer for it."""
    others = len(route.destinations or ()) - 1
    return (route.model.name or "") + (f" +{others}" if others > 0 else "")
