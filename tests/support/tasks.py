"""What runs beside a test in its loop."""

import asyncio


async def others_done() -> None:
    """Wait until nothing else runs."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
