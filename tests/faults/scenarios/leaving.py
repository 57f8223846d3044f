"""A caller who leaves frees the upstream's connection: how long after, in every dialect, streamed or not."""

import asyncio
import json
import time
from dataclasses import dataclass

from tests.benchmarks.loop import run
from tests.faults.scenarios.report import Place, Report, ms
from tests.faults.storm.process import ChaosProcess, Json, model
from tests.faults.storm.weather import SHELTERED
from tests.support.raw import request
from tests.support.server import Server, running, wait_until

AIM = 0.1
AT_ONCE = 20
"""Callers who leave together; fewer in a small run."""

SETTLED = 0.1
"""Seconds that others wait before they leave."""


@dataclass(frozen=True)
class Leaver:
    """What somebody waits for who will leave."""

    path: str
    kind: str
    stream: bool
    behaviour: str
    """What the upstream does meanwhile."""

    sheltered: bool = False
    """The route has another destination for when the first does not answer."""

    at_once: bool = False
    """The caller leaves as soon as the upstream has been asked."""

    @property
    def name(self) -> str:
        """For the report."""
        more = ", with another destination" * self.sheltered + ", at once" * self.at_once
        return f"{self.path} {'stream' if self.stream else 'whole'} {self.behaviour}{more}"

    @property
    def route(self) -> str:
        """The name of its route."""
        return f"{self.kind}-{self.behaviour}{SHELTERED if self.sheltered else ''}"

    def endpoint(self, chaos: ChaosProcess) -> Json:
        """The route, as it is configured."""
        models = (
            [chaos.base(self.behaviour), chaos.base("ok", at="calm")]
            if self.sheltered
            else [chaos.base(self.behaviour)]
        )
        destinations = [{"model": model(base), "priority": number} for number, base in enumerate(models, 1)]
        return {"name": self.route, "endpoint_type": f"llm/v1/{self.kind}", "destinations": destinations}

    @property
    def begins(self) -> bool:
        """Something of the answer comes before the caller leaves."""
        return self.behaviour != "hang"

    def request(self, marker: int) -> bytes:
        """As it goes over the wire."""
        text = f"marker-{marker}"
        bodies: dict[str, Json] = {
            "chat": {"messages": [{"role": "user", "content": text}]},
            "completions": {"prompt": text},
            "embeddings": {"input": text},
        }
        name = self.route
        named = {"model": name} if self.path.startswith("/v1") else {}
        body = {**bodies[self.kind], **named, **({"stream": True} if self.stream else {})}
        return request(f"POST {self.path.format(name)}", body=json.dumps(body).encode())


def leavers() -> list[Leaver]:
    """Every dialect and kind, whole and streamed, before and within the answer."""
    found = []
    for kind, own in (
        ("chat", "chat/completions"),
        ("completions", "completions"),
        ("embeddings", "embeddings"),
    ):
        for path in ("/gateway/{}/invocations", "/endpoints/{}/invocations", f"/v1/{own}"):
            for stream in (False,) if kind == "embeddings" else (False, True):
                found += [Leaver(path, kind, stream, "hang", at_once=at_once) for at_once in (False, True)]
                if stream:
                    found += [Leaver(path, kind, stream, name) for name in ("endless", "half-then-hang")]
    found += [Leaver("/v1/chat/completions", "chat", stream, "hang", True) for stream in (False, True)]
    return found


def leaving(place: Place, requests: int) -> Report:
    """The longest that an upstream's connection outlived its caller."""
    endpoints = {leaver.route: leaver.endpoint(place.chaos) for leaver in leavers()}
    report, longest, count = Report(), 0.0, max(3, min(AT_ONCE, requests // 100))
    with running(place.folder, {"endpoints": [*endpoints.values()]}) as server:
        for leaver in leavers():
            took = sorted(run(_leave(leaver, place.chaos, server, count)))
            longest = max(longest, took[-1])
            report.facts[leaver.name] = f"half within {ms(took[len(took) // 2])}, all within {ms(took[-1])}"
    report.facts["longest"] = ms(longest)
    report.hold(longest <= AIM, f"an upstream's connection outlived its caller by {ms(longest)}")
    return report


async def _leave(leaver: Leaver, chaos: ChaosProcess, server: Server, count: int) -> list[float]:
    """Seconds from a caller's leaving to the end of its upstream's connection, for each of them."""
    chaos.forget()
    writers, left = [], {}

    def asked(times: int) -> bool:
        return int(chaos.stats()["requests"].get(leaver.behaviour, 0)) == times

    for marker in range(1, count + 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(leaver.request(marker))
        writers.append((marker, writer))
        if leaver.begins:
            await reader.readuntil(b"data: ")
        elif leaver.at_once:
            wait_until(lambda: asked(len(writers)), 30, "the upstream was not asked")
            left[str(marker)] = time.monotonic()
            writer.transport.abort()
            await asyncio.sleep(0)
    if not leaver.at_once:
        wait_until(lambda: asked(count), 30, "not all were asked")
        await asyncio.sleep(SETTLED)
        for marker, writer in writers:
            left[str(marker)] = time.monotonic()
            writer.transport.abort()
            await asyncio.sleep(0)
    wait_until(lambda: set(left) <= set(chaos.stats()["left"]), 30, "not all connections were freed")
    assert "ok" not in chaos.stats()["requests"], "another destination was asked for those who had left"
    freed = chaos.stats()["left"]
    return [freed[marker] - left[marker] for marker in left]
