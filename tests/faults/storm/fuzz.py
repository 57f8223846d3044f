"""Bytes that nobody thought of, through the real server: bodies of callers, answers and streams of providers."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from tests.faults.storm.load import Load
from tests.faults.storm.mutations import mutated, pieces, strange
from tests.faults.storm.outcome import Ask
from tests.faults.storm.process import Json
from tests.faults.storm.tally import Tally
from tests.faults.storm.verdict import well_formed
from tests.providers.cases import CASES, Case
from tests.providers.through import route
from tests.support.server import Server
from tests.support.upstream import CUT, MockUpstream, Reply, Script

PATIENCE = 60.0


@dataclass(frozen=True)
class Raw(Ask):
    """A request with any body to any path."""

    method: str = "POST"
    path: str = ""
    body: bytes = b""

    def bytes(self, marker: int) -> bytes:
        """The request as it goes over the wire."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        head = "\r\n".join([*lines, *self.headers, f"Content-Length: {len(self.body)}", "", ""])
        return head.encode() + self.body


async def fuzz_upstream(server: Server, upstream: MockUpstream, *, examples: int, seed: int) -> Tally:
    """Recorded answers and streams of every provider with bytes changed, cut into any pieces, one after the other."""
    chance, tally = Random(seed), Tally()
    streams = [case for case in CASES.values() if case.streams]
    wholes = [case for case in CASES.values() if not case.streams]

    def asks() -> Iterator[Ask]:
        for number in range(examples):
            case = chance.choice(streams if chance.random() < 0.7 else wholes)
            upstream.answer_with(_answer(case, chance))
            if number % 100 == 0:
                upstream.received.clear()
            yield _question(case, openai=chance.random() < 0.5)

    await Load(server.port, tally, patience=PATIENCE, judge=well_formed).run(asks(), callers=1)
    return tally


def _answer(case: Case, chance: Random) -> Reply:
    """What the upstream makes of a case this time; at times it breaks off."""
    if not case.streams:
        body = mutated(case.upstream_body, chance, most=2)
        return Reply(body, case.upstream_status, headers=case.upstream_headers)
    data = case.stream_bytes(chance.choice(case.line_ends))
    data = mutated(data, chance, most=2) if chance.random() < 0.7 else data[: chance.randrange(len(data) + 1)]
    script: Script = [*pieces(data, chance), *([CUT] if chance.random() < 0.2 else [])]
    return Reply(content_type=case.stream_type, script=script)


def _question(case: Case, *, openai: bool) -> Raw:
    """The case's request, in one of the dialects."""
    request, path = case.request, f"/gateway/{quote(route(case))}/invocations"
    if openai:
        own = {"llm/v1/chat": "chat/completions", "llm/v1/completions": "completions"}
        request, path = {**request, "model": route(case)}, f"/v1/{own.get(case.kind, 'embeddings')}"
    return Raw(case.provider, openai, case.streams, path=path, body=json.dumps(request).encode())


async def fuzz_bodies(
    server: Server,
    seeds: Sequence[tuple[str, Json]],
    *,
    examples: int,
    seed: int,
    headers: tuple[str, ...] = (),
) -> Tally:
    """These bodies to their paths with values and bytes changed, by several callers at once."""
    chance, tally = Random(seed), Tally()

    def asks() -> Iterator[Ask]:
        for _ in range(examples):
            path, value = chance.choice(seeds)
            for _ in range(chance.randint(0, 2)):
                value = strange(value, chance)
            body = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode()
            if chance.random() < 0.5:
                body = mutated(body, chance, most=2)
            yield Raw(path, path.startswith("/v1/"), headers=headers, path=path, body=body)

    await Load(server.port, tally, patience=PATIENCE, judge=well_formed).run(asks(), callers=8)
    return tally


def wrong(tally: Tally) -> list[str]:
    """An example of all that may not be, to tell of."""
    bad = [key for key in tally.examples if not key[1].isdigit() and key[1] not in ("answered", "in-band")]
    found = []
    for key in bad:
        outcome = tally.examples[key][0]
        found.append(f"{key}: {outcome.ask} → {outcome.status} {outcome.body[:500]!r}")
    return found
