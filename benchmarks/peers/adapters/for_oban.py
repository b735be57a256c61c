"""oban-py, with coroutines."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from adapter import main, note, url
from oban import Oban, worker
from oban.schema import install


@worker(queue="default")
class Noop:
    """A job that notes that it has begun."""

    async def process(self, job: object) -> None:
        """Note it."""
        note(job.args["n"])


async def setup() -> None:
    """Make the tables."""
    pool = await Oban.create_pool(url())
    await install(pool)
    await pool.close()


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[object]:
    """Give the calls that enqueue one and many."""
    pool = await Oban.create_pool(url())
    async with Oban(pool=pool) as oban:
        yield (
            lambda number: oban.enqueue(Noop.new({"n": number})),
            lambda numbers: oban.enqueue_many([Noop.new({"n": each}) for each in numbers]),
        )
    await pool.close()


async def work(_processes: int, threads: int) -> None:
    """Run its worker."""
    pool = await Oban.create_pool(url())
    reported = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, reported.set)
    async with Oban(pool=pool, queues={"default": threads}):
        await reported.wait()
    await pool.close()


if __name__ == "__main__":
    main(setup, client, work)
