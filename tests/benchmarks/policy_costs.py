"""What each policy of ours costs.

Rows that differ in a route only are routes of one process, so that what lies between them is the policy alone.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from .children import DidNotStart, Service, output, serve
from .gateways import BARE, START, Gateway, Running, running
from .load import Job
from .plan import Plan
from .policies import BASE, POLICIES, Policy
from .report import Report
from .rounds import AT_ONCE, Measured, alternate, chats, streams


def measure_policies(plan: Plan, report: Report, upstream: Service, folder: Path) -> None:
    """The bare gateway, and each of the policies asked for beside it."""
    wanted = tuple(policy for policy in POLICIES if plan.includes(f"policies: {policy.name}"))
    if not wanted:
        return
    if wanted[0].name != BASE:
        wanted = (POLICIES[0], *wanted)
    with rows(wanted, upstream.port, folder, report.skipped) as found:
        turns = {row.policy.name: partial(_round, plan, row) for row in found}
        alternate(plan, turns, report.rows("policies"), report.skipped)


@dataclass(frozen=True)
class Row:
    """A policy whose gateway is up."""

    policy: Policy
    up: Running
    route: str

    def job(self, count: int, **more: Any) -> Job:
        """Chats of its route."""
        asked = self.up.job(self.route, count, **more)
        if self.policy.openai:
            asked = replace(asked, path="/v1/chat/completions", model=self.route)
        return replace(asked, headers=dict(self.policy.headers))


def _round(plan: Plan, row: Row) -> Measured:
    """One round of a row."""
    found = chats(row.job(100_000, seconds=plan.seconds))
    return found | streams(row.job(10_000, seconds=plan.seconds, **AT_ONCE))


@contextmanager
def rows(
    policies: tuple[Policy, ...], upstream: int, folder: Path, skipped: dict[str, str]
) -> Iterator[list[Row]]:
    """The policies' gateways, up as long as the block lasts. What can't be measured is put into `skipped`."""
    found = []
    with ExitStack() as stack:
        redis = _redis(stack, folder)
        for number, (_, members) in enumerate(groupby(policies, key=Policy.process)):
            able = _able(list(members), upstream, folder, redis, skipped)
            if not able:
                continue
            gateway = _gateway(able, f"policies {number}", redis)
            try:
                up = stack.enter_context(running(gateway, upstream, folder))
            except DidNotStart as error:
                skipped |= {policy.name: str(error) for policy in able}
                continue
            found += [Row(policy, up, f"route{index}") for index, policy in enumerate(able)]
        yield found


def _gateway(policies: list[Policy], name: str, redis: str) -> Gateway:
    """One gateway with a route for each of these policies, which share a process."""

    def configuration(upstream: int, _port: int) -> str:
        endpoints = [
            {**policy.endpoint(upstream), "name": f"route{index}"} for index, policy in enumerate(policies)
        ]
        text = json.dumps({**policies[0].server, "endpoints": endpoints})
        return text.replace("{redis}", redis)

    return Gateway(name, policies[0].command, lacking=BARE.lacking, configuration=configuration)


def _able(
    policies: list[Policy], upstream: int, folder: Path, redis: str, skipped: dict[str, str]
) -> list[Policy]:
    """Those whose settings this gateway knows, so that an older one can be measured too."""
    if "{redis}" in policies[0].process() and not redis:
        skipped |= {policy.name: "no redis-server" for policy in policies}
        return []
    if not _refused(policies, upstream, folder, redis):
        return policies
    why = {policy: _refused([policy], upstream, folder, redis) for policy in policies}
    skipped |= {policy.name: reason for policy, reason in why.items() if reason}
    return [policy for policy, reason in why.items() if not reason]


def _refused(policies: list[Policy], upstream: int, folder: Path, redis: str) -> str:
    """What the gateway says against these policies; empty when it takes them."""
    config = folder / "check.yaml"
    config.write_text(_gateway(policies, "", redis).configuration(upstream, 0))
    try:
        output([START[0], "-m", "gateway_server", "check", str(config)])
    except RuntimeError as error:
        return str(error)
    return ""


def _redis(stack: ExitStack, folder: Path) -> str:
    """The address of a Redis that is up until the stack closes; empty where there is none."""
    if shutil.which("redis-server") is None:
        return ""
    command = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    service = stack.enter_context(serve(command, health="", log=folder / "redis.log"))
    return f"redis://127.0.0.1:{service.port}/0"
