"""The SDKs: CPU time of the caller's process for one chat call, one at a time unless the row says otherwise.

Run as `python -m tests.benchmarks.sdk FUNCTION URI CALLS` by the interpreter that has the SDK. It imports nothing
else at the top than the standard library, since mlflow's interpreter has no more in common with ours.
"""

import asyncio
import json
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .children import absent, output

BATCHES = 3
"""Measurements in one process, after a batch that warms up."""

_MESSAGES = [{"role": "user", "content": "x" * 950}]
_CHAT: dict[str, Any] = {"messages": _MESSAGES}


@dataclass(frozen=True)
class Sdk:
    """A client that can ask a gateway for a chat."""

    name: str
    function: str
    """Of this module: `(uri, calls)` → microseconds of CPU per call, one for each batch."""

    needs: tuple[str, ...]
    python: str = sys.executable
    variable: str = ""
    """Of the environment, that names the interpreter."""

    def absent(self) -> str:
        """Why it can't run here; empty when it can."""
        return absent(self.python, self.needs, variable=self.variable)

    def measure(self, port: int, calls: int) -> list[float]:
        """CPU microseconds per call against the gateway on this port, one for each batch.

        Raises:
            RuntimeError: The SDK failed; the message says how.
        """
        uri = f"http://127.0.0.1:{port}"
        costs: list[float] = json.loads(output([self.python, "-m", __name__, self.function, uri, str(calls)]))
        return costs


def sdks(peer_python: str) -> tuple[Sdk, ...]:
    """The rows; mlflow's client runs under the peer's interpreter."""
    return (
        Sdk("gateway_sync", "blocking", ("gateway_sync", "gateway_async")),
        Sdk("gateway_async", "asynchronous", ("gateway_async",)),
        Sdk("gateway_async, 64 at once", "concurrent", ("gateway_async",)),
        Sdk("openai's client", "openai", ("openai",)),
        Sdk("mlflow's client", "mlflow", ("mlflow",), peer_python, "MLFLOW_PEER_PYTHON"),
    )


def blocking(uri: str, calls: int) -> list[float]:
    """Our blocking client."""
    from gateway_sync.client import MlflowGatewayClient

    client = MlflowGatewayClient(uri)
    return _repeat(lambda: client.query("chat", _CHAT), calls)


def asynchronous(uri: str, calls: int) -> list[float]:
    """Our async client, one call after the other."""
    return asyncio.run(_gathered(uri, calls, at_once=1))


def concurrent(uri: str, calls: int) -> list[float]:
    """Our async client with 64 calls under way."""
    return asyncio.run(_gathered(uri, calls, at_once=64))


def openai(uri: str, calls: int) -> list[float]:
    """OpenAI's blocking client on the gateway's `/v1`."""
    from openai import OpenAI

    chat: Any = OpenAI(base_url=f"{uri}/v1", api_key="sk-benchmark").chat.completions.create
    return _repeat(lambda: chat(model="chat", messages=_MESSAGES), calls)


def mlflow(uri: str, calls: int) -> list[float]:
    """The blocking client of mlflow."""
    warnings.simplefilter("ignore")
    from mlflow.gateway.client import MlflowGatewayClient  # type: ignore[import-not-found, unused-ignore]

    client = MlflowGatewayClient(uri)
    return _repeat(lambda: client.query("chat", _CHAT), calls)


def _repeat(call: Callable[[], object], calls: int) -> list[float]:
    """CPU microseconds per call, one for each batch after the first."""
    costs = []
    for _ in range(BATCHES + 1):
        started = time.process_time()
        for _ in range(calls):
            call()
        costs.append((time.process_time() - started) / calls * 1e6)
    return costs[1:]


async def _gathered(uri: str, calls: int, *, at_once: int) -> list[float]:
    """The same for our async client, with so many calls under way."""
    from gateway_async import AsyncGatewayClient

    async with AsyncGatewayClient(uri) as client:
        costs = []
        for _ in range(BATCHES + 1):
            started = time.process_time()
            await asyncio.gather(*(_one_by_one(client.query, calls // at_once) for _ in range(at_once)))
            costs.append((time.process_time() - started) / (calls // at_once * at_once) * 1e6)
        return costs[1:]


async def _one_by_one(query: Callable[[str, dict[str, Any]], Awaitable[object]], calls: int) -> None:
    """So many calls, each after the other's answer."""
    for _ in range(calls):
        await query("chat", _CHAT)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
