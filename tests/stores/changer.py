"""A process that changes a store: `python -m tests.stores.changer ADDRESS FIRST COUNT`.

It prints the number of each change when the store has acknowledged it.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from gateway_async.errors import Unavailable
from gateway_async.stores import open_store
from gateway_async.stores.base import Store
from tests.stores.records import digest, entry, key, route

ROOT = Path(__file__).parents[2]
KINDS = 8


def command(*arguments: object) -> list[str]:
    """What runs this module, in `ROOT`."""
    return [sys.executable, "-m", "tests.stores.changer", *map(str, arguments)]


async def change(store: Store, number: int) -> None:
    """The change of a number: of eight, one of each kind. All before it were made."""
    first = number - number % KINDS
    name, line = f"thing-{first}", entry(f"change-{number}", at=1000.0 + number)
    match number % KINDS:
        case 0:
            await store.routes.create(route(name), line)
        case 1:
            # The revision is the number of changes: the first was made by change `first`.
            await store.routes.replace(route(name, 2, revision=first + 1), line)
        case 2:
            await store.limits.replace(name, [{"calls": number, "renewal_period": "minute"}], line)
        case 3:
            await store.keys.create(key(name), line)
        case 4:
            await store.keys.rotate(name, digest=digest(f"{name}-2"), hint="2", old_until=9.0, entry=line)
        case 5:
            await store.keys.revoke(name, 1000.0 + number, line)
        case 6:
            await store.limits.replace(f"file-{first}", [], replace(line, detail="x" * 3000))
        case 7 if first % 3 == 0:
            await store.routes.delete(name, line)
        case _:
            await store.limits.replace(name, None, line)


async def main(address: str, first: int, count: int) -> None:
    """Make changes one after the other."""
    store = open_store(address)
    try:
        await store.open()
        for number in range(first, first + count):
            await change(store, number)
            print(number, flush=True)
    except Unavailable as problem:
        print(problem, file=sys.stderr)
    finally:
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
