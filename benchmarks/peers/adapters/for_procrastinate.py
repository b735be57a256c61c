"""procrastinate, with coroutines."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import procrastinate
from adapter import main, note_on_loop, url

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url()))


@app.task(name="noop")
async def noop(number: int) -> None:
    """Note that it has begun."""
    await note_on_loop(number)


async def setup() -> None:
    """Make the tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[object]:
    """Give the calls that enqueue one and many."""
    async with app.open_async():
        yield (
            lambda number: noop.defer_async(number=number),
            lambda numbers: noop.batch_defer_async(*[{"number": each} for each in numbers]),
        )


async def work(_processes: int, threads: int) -> None:
    """Run its worker."""
    async with app.open_async():
        await app.run_worker_async(concurrency=threads)


if __name__ == "__main__":
    main(setup, client, work)
