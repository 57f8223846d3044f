"""The command line of keys: `gateway keys create`, `list`, `revoke`, `rotate`; and `gateway audit`.

They work on the store itself, so that there can be keys before a gateway runs. Those that run see a change at once.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from gateway_async.audit import COMMAND_LINE
from gateway_async.keys.changes import KeyChanges
from gateway_async.keys.ring import ADMIN_KEY, KeyRing
from gateway_async.stores.base import Store
from gateway_server.audit import in_a_line
from gateway_server.cli.console import AsJson, err, out, table
from gateway_server.cli.store import (
    ConfigOption,
    StoreOption,
    address_of,
    loaded,
    tell_others,
    with_store,
)

keys = typer.Typer(no_args_is_help=True, help="Make, list, revoke and rotate the keys that let callers in.")

T = TypeVar("T")
Json = dict[str, Any]

Name = Annotated[str, typer.Argument(help="The key's name.")]


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Who it is for: limits count by it, and the audit log names it.")],
    route: Annotated[
        list[str] | None, typer.Option(help="A route that it may call; give it several times. Without: all.")
    ] = None,
    role: Annotated[
        str, typer.Option(help="`caller`, or `admin` to change routes, limits and keys.")
    ] = "caller",
    expires: Annotated[str | None, typer.Option(help="How long it is good: 90d, 12h, 30m, 45s, 2w.")] = None,
    store: StoreOption = None,
    config_path: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown this once, alone on standard output."""
    body: Json = {"name": name, "role": role}
    body |= {"routes": route} if route else {}
    body |= {"expires_in": expires} if expires is not None else {}

    async def make(changes: KeyChanges) -> tuple[Json, bool]:
        is_first = role == "caller" and all(key["role"] != "caller" for key in await changes.list())
        return await changes.create(body, COMMAND_LINE), is_first

    made, is_first = _change(store, config_path, make)
    if is_first:
        err.print("from now on calls need a key: this is the first for callers")
    _show_key(made, as_json=as_json)


@keys.command(name="list")
def list_keys(store: StoreOption = None, config_path: ConfigOption = None, as_json: AsJson = False) -> None:
    """List the keys, without themselves."""
    found = _change(store, config_path, lambda changes: changes.list())
    if as_json:
        print(json.dumps(found))
        return
    out.print(table(("name", "role", "routes", "begins", "made", "expires", ""), map(_row, found)))


@keys.command()
def revoke(
    name: Name, store: StoreOption = None, config_path: ConfigOption = None, as_json: AsJson = False
) -> None:
    """End a key, now and for good. Its name stays taken."""
    revoked = _change(store, config_path, lambda changes: changes.revoke(name, COMMAND_LINE))
    if as_json:
        print(json.dumps(revoked))
    else:
        err.print(f"the key {escape(name)!r} opens nothing any more")


@keys.command()
def rotate(
    name: Name,
    grace: Annotated[str, typer.Option(help="How long the old key stays good: 24h, 0s.")] = "24h",
    store: StoreOption = None,
    config_path: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one, which is shown this once; the old one stays good for a while."""
    _show_key(
        _change(store, config_path, lambda changes: changes.rotate(name, {"grace": grace}, COMMAND_LINE)),
        as_json=as_json,
    )


def audit(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines.")] = 100,
    store: StoreOption = None,
    config_path: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what and who was refused, the newest first."""

    async def read(kept: Store) -> list[Json]:
        return [_told(entry) for entry in await kept.audit.read(limit=limit)]

    lines = with_store(address_of(store, loaded(config_path)), read)
    if as_json:
        print(json.dumps(lines))
        return
    for line in lines:
        where = f" from {line['address']}" if line["address"] else ""
        times = f" ({line['count']} times)" if line["count"] > 1 else ""
        said = f": {line['detail']}" if line["detail"] else ""
        what = f"{line['outcome']} {line['action']} {line['target'] or '-'} by {line['actor']}"
        print(in_a_line(f"{line['at']} {what}{where}{times}{said}"))


def _row(key: Json) -> tuple[str, ...]:
    routes = "all" if key["routes"] is None else ", ".join(key["routes"])
    state = "revoked" if key["revoked"] else "" if key["source"] == "store" else f"of the {key['source']}"
    made, ends = (str(key[field] or "")[:16] for field in ("created", "expires"))
    return (key["name"], key["role"], routes, key["hint"] or "", made, ends, state)


def _told(entry: Any) -> Json:
    fields = ("action", "target", "actor", "address", "request_id", "outcome", "detail", "count")
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds")
    return {"at": at, **{field: getattr(entry, field) for field in fields}}


def _show_key(made: Json, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(made))
        return
    until = f", good until {made['expires']}" if made["expires"] else ""
    err.print(f"the key {escape(made['name'])!r}{until}; it is shown this once:")
    sys.stderr.flush()
    print(made["api_key"])


def _change(store: str | None, config_path: Path | None, make: Callable[[KeyChanges], Awaitable[T]]) -> T:
    """What comes of a change of the store's keys, of which those who serve it are told."""
    config = loaded(config_path)
    address = address_of(store, config)

    async def run(kept: Store) -> T:
        ring = KeyRing()
        ring.configure([] if config is None else config.api_keys, os.environ.get(ADMIN_KEY))

        async def changed() -> None:
            tell_others(address)

        return await make(KeyChanges(kept, lambda: ring.own, changed))

    return with_store(address, run)
