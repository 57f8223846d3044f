"""What many routes cost: the same chats, for the routes of a gateway that has few, and of one that has many.

There for as few routes as the other one has, and for all in turn: then each call meets a route of which the processor's
caches know nothing, as it would in any program.
"""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from .children import DidNotStart, Service
from .gateways import BARE, Gateway, endpoint, start
from .plan import Plan
from .report import Report
from .rounds import alternate, chats


def measure_routes(plan: Plan, report: Report, upstream: Service, folder: Path) -> None:
    """A gateway with few routes beside one with many."""
    counts = [count for count in plan.routes if plan.includes(f"routes: {_name(count)}")]
    rows = report.rows("routes")
    with ExitStack() as stack:
        turns = {}
        for count in counts:
            gateway = _gateway(count)
            try:
                up, cost = start(gateway, upstream.port, folder, stack, times=plan.starts)
            except DidNotStart as error:
                report.skipped[gateway.name] = str(error)
                continue
            rows[gateway.name] = cost
            few = min(plan.routes)
            for called in sorted({few, count}):
                name = gateway.name if called == few else f"{gateway.name}, all of them called"
                job = up.job("chat", 100_000, warmup=max(200, called), seconds=plan.seconds, routes=called)
                turns[name] = partial(chats, job)
        alternate(plan, turns, rows, report.skipped)


def _name(count: int) -> str:
    return f"{count:,} routes"


def _gateway(count: int) -> Gateway:
    """Ours with so many routes."""

    def configuration(upstream: int, _port: int) -> str:
        return json.dumps({"endpoints": [endpoint(f"chat{number}", upstream) for number in range(count)]})

    return Gateway(
        _name(count),
        BARE.command,
        lacking=BARE.lacking,
        configuration=configuration,
        path="/gateway/chat{number}/invocations",
    )
