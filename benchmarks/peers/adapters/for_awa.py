"""awa: its core in Rust, its jobs coroutines."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import awa
from adapter import main, note, url


@dataclass
class Noop:
    """The arguments of a job that notes that it has begun."""

    n: int = 0


async def setup() -> None:
    """Make the tables."""
    queue = awa.AsyncClient(url())
    await queue.migrate()
    await queue.install_queue_storage()


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[object]:
    """Give the calls that enqueue one and many."""
    queue = awa.AsyncClient(url())
    yield (
        lambda number: queue.insert(Noop(number), queue="q"),
        lambda numbers: queue.enqueue_many_copy([Noop(each) for each in numbers], queue="q"),
    )


async def work(_processes: int, threads: int) -> None:
    """Run its worker."""
    queue = awa.AsyncClient(url())

    @queue.task(Noop, queue="q")
    async def noop(job: object) -> None:
        note(job.args.n)

    reported = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, reported.set)
    await queue.start([("q", threads)])
    await reported.wait()
    await queue.shutdown()


if __name__ == "__main__":
    main(setup, client, work)
