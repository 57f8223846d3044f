"""An app in one loop after the other, as hosts' tests and scripts use it."""

import asyncio
from pathlib import Path

import httpx

from gateway_server import create_app
from tests.support.configs import offline
from tests.support.server import write_config

HOST = "http://gateway"


def test_an_app_serves_one_loop_after_the_other_and_closes_in_any(tmp_path: Path) -> None:
    """It follows store and file in each, and what a loop took with it when it ended holds nobody up."""
    path = write_config(tmp_path / "gateway.yaml", {"endpoints": [offline("chat", "chat")]})
    app = create_app(path, store=f"sqlite:///{tmp_path / 'gateway.db'}")

    async def refused() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as http:
            return (await http.delete("/api/2.0/gateway/routes/chat")).status_code

    async def follows() -> list[bool]:
        status = await refused()
        names = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
        return [status == 401, "watch" in names, "LiveGateway._poll" in names]

    async def close() -> int:
        await app.aclose()
        status = await refused()
        await app.aclose()
        return status

    for _ in range(2):
        assert asyncio.run(follows()) == [True, True, True]
    assert asyncio.run(close()) == 401
