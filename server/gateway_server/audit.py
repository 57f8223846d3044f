"""Who was refused: noted for the audit log without holding anybody up."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from starlette.types import Scope

from gateway_async.call import Caller
from gateway_async.errors import GatewayError, PermissionDenied, Unauthenticated
from gateway_async.stores.base import AuditEntry, AuditLog
from gateway_async.tasks import ended
from gateway_server.mount import path_within

FLUSH_SECONDS = 0.5
"""What is refused is written together this often; what is the same within that time is one line, with a count."""

LAST_SECONDS = 2.0
"""So long the end of the app waits for what is written last."""

MOST_WAITING = 1000
"""Lines that wait to be written; beyond that, refusals are only counted."""

MOST_LOGGED = 20
"""Lines of one writing that the log gets; whoever tries keys by the thousand does not fill a disk."""

_READING = ("GET", "HEAD", "OPTIONS")

_ACTIONS = {
    ("routes", "POST"): "route.create",
    ("routes", "PATCH"): "route.update",
    ("routes", "DELETE"): "route.delete",
    ("limits", "POST"): "limits.set",
    ("limits", "DELETE"): "limits.reset",
    ("keys", "POST"): "key.create",
    ("keys", "DELETE"): "key.revoke",
    ("keys", "GET"): "key.list",
}

_log = logging.getLogger("gateway_server.audit")


class Refusals:
    """Refusals on their way into the audit log. No request waits for it, and none fails when it can't be written.

    Args:
        audit: The audit log, if there is one at this moment; the lines go to the logger `gateway_server.audit` too.
    """

    def __init__(self, audit: Callable[[], AuditLog | None]) -> None:
        self._audit = audit
        self._waiting: dict[AuditEntry, tuple[int, float, str | None]] = {}
        self._lost = 0
        self._failing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, scope: Scope, error: GatewayError) -> None:
        """Note an error, if it refuses somebody something: who may not come in, or a change that is not made."""
        changes = scope["method"] not in _READING and path_within(scope).startswith("/api/")
        refused = isinstance(error, Unauthenticated | PermissionDenied)
        if refused or (changes and 400 <= error.status < 500):
            self.add(_entry(scope, error))

    def add(self, entry: AuditEntry) -> None:
        """Have a line written soon."""
        same = replace(entry, request_id=None)
        count, at, request_id = self._waiting.get(same, (0, time.time(), entry.request_id))
        if count == 0 and len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting[same] = (count + 1, at, request_id)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(FLUSH_SECONDS, self._begin, loop)

    async def aclose(self) -> None:
        """Write what waits, unless the audit log takes too long over it."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await ended(self._writing)
                await self._write()
        except TimeoutError:
            await ended(self._writing, cancel=True)
            self._take()
            _log.error("the audit log does not answer, the last refusals are in this log only")

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._writing = loop.create_task(self._write())

    def _take(self) -> list[AuditEntry]:
        """The lines that wait, which the log gets now."""
        waiting, self._waiting = self._waiting, {}
        lost, self._lost = self._lost, 0
        entries = [
            replace(entry, count=count, at=at, request_id=request_id)
            for entry, (count, at, request_id) in waiting.items()
        ]
        _say(entries, lost)
        return entries

    async def _write(self) -> None:
        entries, audit = self._take(), self._audit()
        try:
            if audit is not None and entries:
                await audit.record(entries)
                self._failing = False
        except Exception as problem:  # noqa: BLE001 - a refusal that can't be kept must not become a failure
            if not self._failing:
                _log.error("the audit log can't be written, refusals are in this log only: %s", problem)
            self._failing = True
        finally:
            self._loop = None
            if self._waiting:
                self._again()

    def _again(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(FLUSH_SECONDS, self._begin, self._loop)


def _entry(scope: Scope, error: GatewayError) -> AuditEntry:
    caller: Caller | None = scope.get("caller")
    client, request_id = scope.get("client"), scope.get("request_id")
    action, target = subject(scope["method"], path_within(scope))
    return AuditEntry(
        action=action,
        target=target,
        actor=(caller and caller.key) or "nobody",
        address=client[0] if client else None,
        request_id=request_id.decode("latin-1") if request_id else None,
        outcome="refused",
        detail=error.message[:500],
    )


def subject(method: str, path: str) -> tuple[str, str]:
    """What a request wants, and the name of the route or the key that it wants it of.

    Args:
        method: Its method.
        path: Its path, without a mount's prefix.
    """
    parts = [part for part in path.split("/") if part]
    if parts[:1] != ["api"]:
        of_a_route = len(parts) == 3 and parts[0] in ("gateway", "endpoints")
        return ("read" if method in _READING else "call"), _shown(parts[1]) if of_a_route else ""
    below = parts[3:] if parts[2:3] == ["gateway"] else (parts[2:3] == ["endpoints"]) * ["routes"] + parts[3:]
    if below[:2] == ["routes", "limits"]:
        below = below[1:]
    kind, target = below[0] if below else "", below[1] if len(below) > 1 else ""
    if kind == "keys" and target and method == "POST":
        return "key.rotate", _shown(target)
    usual = "read" if method in _READING else "change"
    return _ACTIONS.get((kind, method), usual), _shown(target)


def _shown(name: str) -> str:
    """A name that somebody made up, as a line of a log can hold it."""
    return name.encode("unicode_escape").decode()[:100]


def in_a_line(text: str) -> str:
    """A text that somebody else may have made up, as one line that moves no cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _say(entries: list[AuditEntry], lost: int) -> None:
    lines = [
        f"refused {entry.action} {entry.target or '-'} by {entry.actor} from {entry.address or '-'} "
        f"({entry.request_id or '-'}{f', {entry.count} times' if entry.count > 1 else ''}): {entry.detail}"
        for entry in entries[:MOST_LOGGED]
    ]
    more = sum(entry.count for entry in entries[MOST_LOGGED:]) + lost
    if more:
        lines.append(f"refused {more} more, of which {lost} are in no log")
    for line in lines:
        _log.warning("%s", in_a_line(line))
