"""chancy, with its threads or its loop, and eager polling."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from adapter import main, note, note_on_loop, on_loop, url
from chancy import Chancy, Queue, Worker, job

_LOG = logging.getLogger("peers.chancy")
_LOG.setLevel(logging.WARNING)
_THREADS = "chancy.executors.thread.ThreadedExecutor"
_LOOP = "chancy.executors.asyncex.AsyncExecutor"


@job(queue="default")
def noop(*, number: int) -> None:
    """Note that it has begun."""
    note(number)


@job(queue="default")
async def noop_on_loop(*, number: int) -> None:
    """Note that it has begun, on the loop."""
    await note_on_loop(number)


def _queue(threads: int) -> Queue:
    return Queue(
        "default",
        concurrency=threads,
        executor=_LOOP if on_loop() else _THREADS,
        eager_polling=True,
        polling_interval=1,
    )


async def setup() -> None:
    """Make the tables."""
    async with Chancy(url(), log=_LOG) as app:
        await app.migrate()
        await app.declare(_queue(3))


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[object]:
    """Give the calls that enqueue one and many."""
    # By its importable name: as a program this module is called `__main__`.
    import for_chancy

    named = for_chancy.noop_on_loop if on_loop() else for_chancy.noop

    async with Chancy(url(), log=_LOG) as app:

        async def many(numbers: range) -> None:
            jobs = [named.job.with_kwargs(number=number) for number in numbers]
            async for _ in app.push_many(jobs, batch_size=len(jobs)):
                pass

        yield lambda number: app.push(named.job.with_kwargs(number=number)), many


async def work(_processes: int, threads: int) -> None:
    """Run its worker."""
    async with Chancy(url(), log=_LOG) as app:
        await app.declare(_queue(threads), upsert=True)
        async with Worker(app) as worker:
            await worker.wait_for_shutdown()


if __name__ == "__main__":
    main(setup, client, work)
