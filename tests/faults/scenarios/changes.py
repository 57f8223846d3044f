"""Workers are killed, the server is ended, the configuration changes again and again: callers notice nothing."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import httpx

from tests.benchmarks.loop import run
from tests.faults.scenarios.report import Place, Report, counted, ms
from tests.faults.storm.load import Load
from tests.faults.storm.outcome import Ask, Outcome
from tests.faults.storm.process import Json, model, route
from tests.faults.storm.tally import Tally
from tests.faults.storm.vitals import callers_of
from tests.support.configs import ADMIN, AS_ADMIN
from tests.support.server import Server, running, wait_until, write_config

CALLERS = 32
CHANGES = 100
BACK_SECONDS = 2.0
ROUTES = "/api/2.0/gateway/routes/"
KEYED = (f"Authorization: Bearer {ADMIN}",)


def asks(*routes: str, headers: tuple[str, ...] = ()) -> Iterator[Ask]:
    """Requests to these routes without end, in both dialects, whole and streamed."""
    ways = [(openai, stream) for openai in (False, True) for stream in (False, True)]
    return cycle([Ask(name, *way, headers=headers) for way in ways for name in routes])


def killed(place: Place, requests: int) -> Report:
    """kill -9 of one of two workers: only its own requests fail, and soon there is another one."""
    broken: list[Outcome] = []
    tally = Tally(lambda outcome: broken.append(outcome) if outcome.broken else None)
    config = {"endpoints": [route("calm", place.chaos.base("ok=0.02", at="calm"))]}
    with running(place.folder, config, workers=2) as server:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")

        async def scenario() -> tuple[float, float, set[int]]:
            load = Load(server.port, tally)
            task = asyncio.create_task(load.run(asks("calm"), callers=CALLERS))
            await counted(tally, requests // 3)
            victim, survivor = _victim(server)
            theirs = callers_of(survivor, server.port)
            os.kill(victim, signal.SIGKILL)
            at = time.monotonic()
            back = await asyncio.to_thread(_back, server, {victim, survivor}, at)
            await counted(tally, requests)
            load.stop()
            await task
            return at, back, theirs

        at, back, theirs = run(scenario())

    report = Report()
    report.facts |= {
        "requests": str(tally.count),
        "of the killed worker": str(len(broken)),
        "back after": ms(back),
    }
    others = [outcome for outcome in broken if outcome.caller in theirs or outcome.started > at + 0.05]
    report.hold(not others, f"{len(others)} requests of the other worker failed")
    wrong = {word: count for word, count in tally.failed.items() if word != "closed"}
    report.hold(not wrong, f"{wrong}\n{tally.explain()}")
    report.hold(len(broken) <= CALLERS, f"{len(broken)} requests failed")
    report.hold(back <= BACK_SECONDS, f"the worker was back after {back:.1f} s")
    return report


def _victim(server: Server) -> tuple[int, int]:
    """The worker with more callers, and the other one."""
    first, second = sorted(server.workers(), key=lambda pid: len(callers_of(pid, server.port)))
    return second, first


def _back(server: Server, before: set[int], since: float) -> float:
    """Seconds until a worker that was not there before has taken a connection."""
    while time.monotonic() < since + 60:
        opened = [server.connect() for _ in range(8)]
        time.sleep(0.02)
        new = [pid for pid in server.workers() if pid not in before]
        taken = any(callers_of(pid, server.port) for pid in new)
        for connection in opened:
            connection.close()
        if taken:
            return time.monotonic() - since
    return 60.0


def ended(place: Place, requests: int) -> Report:
    """SIGTERM under load: every request that was sent is answered, until connections are refused."""
    tally = Tally()
    config = {"endpoints": [route("calm", place.chaos.base("ok=0.02", at="calm"))]}
    with running(place.folder, config, workers=2) as server:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")

        async def scenario() -> None:
            load = Load(server.port, tally, patience=30)
            task = asyncio.create_task(load.run(_until_refused(load, asks("calm")), callers=CALLERS))
            await counted(tally, requests)
            server.signal(signal.SIGTERM)
            await task

        run(scenario())
        code = server.wait()
        log = server.log
    report = Report()
    lost = {word: count for word, count in tally.failed.items() if word != "refused"}
    report.facts |= {"answered": str(tally.count - tally.failed.total()), "lost": str(sum(lost.values()))}
    report.hold(not lost, f"{lost}\n{tally.explain()}")
    report.hold(code == 0, f"it ended with {code}")
    report.hold("Traceback" not in log, log[-2000:])
    return report


def _until_refused(load: Load, endless: Iterator[Ask]) -> Iterator[Ask]:
    for ask in endless:
        if load.tally.failed["refused"]:
            return
        yield ask


def file_changes(place: Place, requests: int) -> Report:
    """A hundred valid changes of the file, each waited for."""
    base, changes = place.chaos.base("ok=0.02", at="calm"), _changes(requests)

    def config(number: int) -> Json:
        changing = {
            "name": "changing",
            "endpoint_type": "llm/v1/chat",
            "model": model(base, f"model-{number}"),
        }
        more = [route("now-and-then", base)] if number % 2 else []
        return {"endpoints": [route("calm", base), changing, *more]}

    with running(place.folder, config(0)) as server, server.client() as http:

        def change(number: int) -> None:
            _replace(place.folder / "gateway.yaml", config(number))
            wait_until(lambda: _model_of(http) == f"model-{number}", 30, "a change was not taken up")

        return _under_load(server, requests, change, changes)


def api_changes(place: Place, requests: int) -> Report:
    """A hundred changes over the API: of a route that is called all the time, and of others made and deleted."""
    base, changes = place.chaos.base("ok=0.02", at="calm"), _changes(requests)
    config = {"endpoints": [route("calm", base)], "upstream": {"allow_networks": ["127.0.0.0/8"]}}
    env = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_STORE": f"sqlite:///{place.folder / 'gateway.db'}"}
    with running(place.folder, config, workers=2, env=env) as server, server.client(headers=AS_ADMIN) as http:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")
        document = {"name": "changing", "route_type": "llm/v1/chat", "model": model(base, "model-0")}
        _changed(http.post(ROUTES, json=document))

        def change(number: int) -> None:
            if number % 2:
                _changed(http.patch(f"{ROUTES}changing", json={"model": {"name": f"model-{number}"}}))
            elif number % 4:
                _changed(http.post(ROUTES, json={**document, "name": "now-and-then"}))
            else:
                _changed(http.delete(f"{ROUTES}now-and-then"))

        return _under_load(server, requests, change, changes)


def _under_load(server: Server, requests: int, change: Callable[[int], None], changes: int) -> Report:
    """Callers go on until all changes are made, and there were enough requests."""
    tally = Tally()

    async def scenario() -> float:
        load = Load(server.port, tally)
        task = asyncio.create_task(load.run(asks("calm", "changing", headers=KEYED), callers=CALLERS))
        await counted(tally, requests // 10)
        began = time.monotonic()
        for number in range(1, changes + 1):
            await asyncio.to_thread(change, number)
        took = time.monotonic() - began
        await counted(tally, requests)
        load.stop()
        await task
        return took

    took = run(scenario())
    report = Report({"changes": f"{changes} in {took:.1f} s"})
    report.hold_all_right(tally)
    report.facts["p99"] = ms(tally.percentile(99))
    report.hold("Traceback" not in server.log, server.log[-2000:])
    return report


def _changes(requests: int) -> int:
    """A hundred, or fewer in a small run."""
    return min(CHANGES, max(8, requests // 50))


def _replace(path: Path, config: Json) -> None:
    """Write a file as editors do: beside it, and then in its place."""
    os.replace(write_config(path.with_suffix(".new"), config), path)


def _model_of(http: httpx.Client) -> str:
    return str(http.get(f"{ROUTES}changing").json()["model"]["name"])


def _changed(answer: httpx.Response) -> None:
    assert answer.status_code == 200, answer.text
