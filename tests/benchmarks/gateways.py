"""The gateways under test, a row for each. All speak mlflow's configuration format and its paths."""

import json
import os
import sys
from dataclasses import dataclass

from .children import absent

PEER_PYTHON = os.environ.get("MLFLOW_PEER_PYTHON", "")
"""The interpreter that has mlflow[gateway] 2.22.5; it conflicts with nothing of ours in an environment of its own."""

_OURS = (
    "-m",
    "gateway_server",
    "start",
    "--config-path",
    "{config}",
    "--host",
    "127.0.0.1",
    "--port",
    "{port}",
)


_LIMITED = "-limited"


@dataclass(frozen=True)
class Gateway:
    """A server that answers chats."""

    name: str
    arguments: tuple[str, ...]
    """Of the interpreter; `{config}` and `{port}` stand for the configuration file and the port."""

    needs: tuple[str, ...]
    """Top-level modules that have to be there."""

    python: str = sys.executable
    health: str = "/health"
    streams: bool = True
    limited: bool = False
    """Its routes have a limit that is never met."""

    def path(self, route: str) -> str:
        """Where it answers chats of a route, under the name that all of them know."""
        return f"/gateway/{route}{_LIMITED if self.limited else ''}/invocations"

    def absent(self) -> str:
        """Why it can't run here; empty when it can."""
        return absent(self.python, self.needs)

    def command(self, config: str) -> list[str]:
        """The command line that starts it; `{port}` is still to be filled in."""
        return [self.python, *(part.replace("{config}", config) for part in self.arguments)]


OURS = Gateway("gateway", (*_OURS, "--workers", "1"), ("gateway_async", "gateway_server"))
FLOOR = Gateway(
    "floor: uvicorn, starlette",
    (
        "-m",
        "uvicorn",
        "tests.benchmarks.floor:app",
        "--port",
        "{port}",
        "--no-access-log",
        "--log-level",
        "warning",
    ),
    ("uvicorn", "starlette", "uvloop", "httptools"),
    streams=False,
)
GATEWAYS = (
    OURS,
    Gateway("gateway, no access log", (*OURS.arguments, "--no-access-log"), OURS.needs),
    Gateway("gateway, one limit in memory", OURS.arguments, OURS.needs, limited=True),
    Gateway(
        "mlflow's own gateway",
        (
            "-m",
            "mlflow",
            "gateway",
            "start",
            "--config-path",
            "{config}",
            "--port",
            "{port}",
            "--workers",
            "1",
        ),
        ("mlflow", "gunicorn"),
        python=PEER_PYTHON,
    ),
    FLOOR,
)


def configuration(upstream_port: int) -> str:
    """The configuration file: a route `chat` to the mock upstream and a route `paced` to its slow side.

    Each is there a second time with a limit. It is JSON, which every YAML reader takes.
    """
    bases = {"chat": "/v1", "paced": "/paced/v1"}
    endpoints = [_endpoint(route, upstream_port, base) for route, base in bases.items()]
    limit = {"calls": 10**9, "renewal_period": "minute"}
    endpoints += [
        {**endpoint, "name": f"{endpoint['name']}{_LIMITED}", "limit": limit} for endpoint in endpoints
    ]
    return json.dumps({"endpoints": endpoints})


def _endpoint(route: str, port: int, base: str) -> dict[str, object]:
    """One chat route to the mock upstream."""
    config = {"openai_api_key": "sk-benchmark", "openai_api_base": f"http://127.0.0.1:{port}{base}"}
    model = {"provider": "openai", "name": "gpt-4o-mini", "config": config}
    return {"name": route, "endpoint_type": "llm/v1/chat", "model": model}
