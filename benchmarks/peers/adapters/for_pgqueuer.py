"""pgqueuer on asyncpg, with coroutines."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
from adapter import main, note_on_loop, on_loop, url
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries


def setup() -> None:
    """Make the tables."""
    command = [sys.executable, "-m", "pgqueuer", "install"]
    subprocess.run(command, check=True, env={**os.environ, "PGDSN": url()})


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[object]:
    """Give the calls that enqueue one and many."""
    queries = Queries(AsyncpgDriver(await asyncpg.connect(url())))

    def payload(number: int) -> bytes:
        return json.dumps({"n": number}).encode()

    def many(numbers: range) -> object:
        payloads = [payload(number) for number in numbers]
        return queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))

    yield lambda number: queries.enqueue("noop", payload(number)), many


async def work(_processes: int, threads: int) -> None:
    """Run its worker: its defaults, but two tasks at least where one was asked for.

    Many at once get batches of half of them, which is the most that it allows.
    """
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(url())))

    @queue.entrypoint("noop")
    async def noop(job: object) -> None:
        await note_on_loop(json.loads(job.payload)["n"])

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, queue.shutdown.set)
    if threads == 1:
        await queue.run(batch_size=1, max_concurrent_tasks=2)
    elif on_loop():
        await queue.run(batch_size=threads // 2, max_concurrent_tasks=threads)
    else:
        await queue.run()


if __name__ == "__main__":
    main(setup, client, work)
