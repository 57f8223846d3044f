"""The servers under test: what they are called, how they are started, where they answer chats."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .children import DidNotStart, Service, absent, free_port, output, serve
from .cpu import resident_mb
from .load import Job
from .report import Rounds

Json = dict[str, Any]

ROUTES = {"chat": "/v1", "paced": "/paced/v1"}
"""The routes that every gateway has → where they lead on the mock upstream."""

KEY = "sk-benchmark-0123456789"
"""Of the gateways that want one, and of the upstream."""


def installed() -> str:
    """Nothing is in the way."""
    return ""


@dataclass(frozen=True)
class Gateway:
    """A server that answers chats with the mock upstream's answers.

    In `command`, `path`, `headers` and `environment`, these stand for what is known once it starts: `{port}`,
    `{upstream}` (the port of the mock upstream), `{config}` (its configuration file), `{folder}` (its own),
    `{route}` and `{base}` (where the route leads on the upstream).
    """

    name: str
    command: tuple[str, ...]
    lacking: Callable[[], str] = installed
    """Why it can't run here, and what to do about it; empty when it can."""

    version: Callable[[], str] = installed
    """Which one it is; empty where that says nothing."""

    configuration: Callable[[int, int], str] = field(default=lambda _upstream, _port: "")
    """The text of its configuration file, by the ports of the upstream and of its own."""

    health: str = "/health"
    path: str = "/gateway/{route}/invocations"
    model: bool = False
    """The body names the route as the model."""

    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    streams: bool = True


@dataclass(frozen=True)
class Running:
    """A gateway that is up."""

    gateway: Gateway
    service: Service
    upstream: int

    def job(self, route: str, count: int, *, warmup: int = 200, **more: Any) -> Job:
        """Chats of one of its routes."""
        known = {"route": route, "base": ROUTES.get(route, "/v1"), "upstream": str(self.upstream)}
        return Job(
            self.service.port,
            self.service.pid,
            _filled(self.gateway.path, known),
            count,
            warmup,
            model=route if self.gateway.model else "",
            headers={name: _filled(value, known) for name, value in self.gateway.headers.items()},
            **more,
        )


@contextmanager
def running(gateway: Gateway, upstream: int, folder: Path, *, log: Path | None = None) -> Iterator[Running]:
    """Run the gateway in front of the mock upstream as long as the block lasts. Its files are below `folder`.

    Raises:
        DidNotStart: It is not there, or did not start; the message says why.
    """
    if reason := gateway.lacking():
        raise DidNotStart(reason)
    own = folder / "".join(letter if letter.isalnum() else "-" for letter in gateway.name)
    own.mkdir(exist_ok=True)
    port, config = free_port(), own / "config.yaml"
    config.write_text(gateway.configuration(upstream, port))
    known = {"port": str(port), "upstream": str(upstream), "config": str(config), "folder": str(own)}
    with serve(
        [_filled(part, known) for part in gateway.command],
        health=gateway.health,
        log=log or own / "log",
        port=port,
        variables={
            "XDG_STATE_HOME": str(own),
            **{name: _filled(value, known) for name, value in gateway.environment.items()},
        },
    ) as service:
        yield Running(gateway, service, upstream)


def start(
    gateway: Gateway, upstream: int, folder: Path, stack: ExitStack, *, times: int = 1
) -> tuple[Running, Rounds]:
    """The gateway, up until the stack closes, and what it cost to start it so many times.

    Raises:
        DidNotStart: It is not there, or did not start; the message says why.
    """
    cost: Rounds = {}
    for _ in range(times - 1):
        with running(gateway, upstream, folder) as up:
            _add(cost, up)
    up = stack.enter_context(running(gateway, upstream, folder))
    _add(cost, up)
    return up, cost


def _add(cost: Rounds, up: Running) -> None:
    """Add what this start cost."""
    service = up.service
    cost.setdefault("start_seconds", []).append(service.start_seconds)
    cost.setdefault("start_cpu_seconds", []).append(service.start_cpu_seconds)
    cost.setdefault("started_mb", []).append(resident_mb(service.pid))


def _filled(text: str, known: Mapping[str, str]) -> str:
    """The text with what is known in the place of its names."""
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def python_lacking(python: str, *modules: str, variable: str = "") -> Callable[[], str]:
    """A look whether an interpreter has these modules."""
    return lambda: absent(python, modules, variable=variable)


def endpoint(name: str, upstream: int, base: str = "/v1", **more: object) -> Json:
    """A chat route to the mock upstream in mlflow's format, which is ours too."""
    return {"name": name, "endpoint_type": "llm/v1/chat", "model": model(upstream, base), **more}


def model(upstream: int, base: str = "/v1") -> Json:
    """A model of the mock upstream."""
    config = {"openai_api_key": KEY, "openai_api_base": f"http://127.0.0.1:{upstream}{base}"}
    return {"provider": "openai", "name": "gpt-4o-mini", "config": config}


def documented(upstream: int, _port: int) -> str:
    """The configuration file in mlflow's format. It is JSON, which every YAML reader takes."""
    return json.dumps({"endpoints": [endpoint(route, upstream, base) for route, base in ROUTES.items()]})


def guarded(upstream: int, _port: int) -> str:
    """The same with a limit that is never met, and a key that callers have to have."""
    limit = {"calls": 10**9, "renewal_period": "minute"}
    return json.dumps(
        {
            "keys": [{"name": "bench", "key": KEY, "role": "caller"}],
            "endpoints": [endpoint(route, upstream, base, limit=limit) for route, base in ROUTES.items()],
        }
    )


def _commit() -> str:
    """Which of our gateways it is; empty where there is no repository."""
    try:
        return "at commit " + output(["git", "rev-parse", "--short", "HEAD"]).strip()
    except (OSError, RuntimeError):
        return ""


START = (
    *(sys.executable, "-m", "gateway_server", "start", "--config-path", "{config}"),
    *("--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
)
"""Starts our gateway with one worker."""

BEARER = {"authorization": f"Bearer {KEY}"}

BARE = Gateway(
    "gateway, bare",
    (*START, "--no-access-log"),
    lacking=python_lacking(sys.executable, "gateway_async", "gateway_server"),
    configuration=documented,
)
GUARDED = Gateway(
    "gateway: key, limit, access log",
    START,
    lacking=BARE.lacking,
    version=_commit,
    configuration=guarded,
    headers=BEARER,
)
FLOOR = Gateway(
    "floor: uvicorn, starlette",
    (
        *(sys.executable, "-m", "uvicorn", "tests.benchmarks.floor:app", "--port", "{port}"),
        *("--no-access-log", "--log-level", "warning"),
    ),
    lacking=python_lacking(sys.executable, "uvicorn", "starlette", "uvloop", "httptools"),
    streams=False,
)
RELAY = Gateway(
    "floor: bytes copied",
    (sys.executable, "-m", "tests.benchmarks.relay", "{port}", "{upstream}"),
    lacking=python_lacking(sys.executable, "uvloop", "httptools"),
    path="{base}/chat/completions",
)
