"""The end of tasks, of which some may belong to another loop."""

import asyncio
from typing import Any


async def ended(*tasks: asyncio.Task[Any] | None, cancel: bool = False) -> None:
    """Wait until tasks are done, however they end. Those of another loop, which may be gone, are not waited for.

    Args:
        tasks: The tasks; None is none.
        cancel: Cancel them first, those of another loop too as long as it is open.
    """
    loop = asyncio.get_running_loop()
    mine = [task for task in tasks if task is not None and task.get_loop() is loop]
    if cancel:
        for task in tasks:
            if task is not None and not task.done() and not task.get_loop().is_closed():
                task.get_loop().call_soon_threadsafe(task.cancel)
    if mine:
        await asyncio.wait(mine)
