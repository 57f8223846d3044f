"""The chaos upstream, started and asked by tests."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.configs import KEY
from tests.support.server import ROOT, environment

Json = dict[str, Any]


class ChaosProcess:
    """The chaos upstream as it runs.

    Attributes:
        ports: Its own, and those named in `tests.faults.storm.upstream`.
    """

    def __init__(self, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
        self.process = process
        self.ports = ports
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{ports['port']}", trust_env=False)

    def base(self, behaviour: str, *, at: str = "port") -> str:
        """The base address of a provider that behaves so."""
        return f"http://127.0.0.1:{self.ports[at]}/{behaviour}/v1"

    def stats(self) -> Json:
        """What happened so far."""
        found: Json = self._http.get("/chaos/stats").json()
        found["open"] -= 1  # this one
        return found

    def become(self, role: str, behaviour: str) -> None:
        """Behave so from now on where the address says `as=ROLE`."""
        self._http.post("/chaos/become", params={role: behaviour})

    def forget(self) -> None:
        """Count requests, and who left, anew."""
        self._http.post("/chaos/forget")

    def close(self) -> None:
        """End it."""
        self._http.close()
        self.process.kill()
        self.process.wait()


@contextmanager
def chaos_process() -> Iterator[ChaosProcess]:
    """A chaos upstream that ends with the block."""
    command = [sys.executable, "-m", "tests.faults.storm.upstream"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment())
    assert process.stdout is not None
    with process.stdout as output:
        chaos = ChaosProcess(process, json.loads(output.readline()))
        try:
            yield chaos
        finally:
            chaos.close()


def model(base: str, name: str = "chaos", **config: Any) -> Json:
    """A model of the provider `openai` at this base address."""
    settings = {"openai_api_key": KEY, "openai_api_base": base, **config}
    return {"provider": "openai", "name": name, "config": settings}


def route(name: str, base: str, **more: Any) -> Json:
    """A route for chat to a model at this base address."""
    return {"name": name, "endpoint_type": "llm/v1/chat", "model": model(base), **more}
