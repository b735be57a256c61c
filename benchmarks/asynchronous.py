"""How fast jobs are stored from an event loop: one at a time, and by many at once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from jobsd import configure

from .enqueue import contender, one_by_one
from .jobs import noop
from .pairs import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .server import Database, Server

AT_ONCE = 32


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield what waiting costs, and what waiting together gains."""
    few = max(AT_ONCE, int(5_000 * scale))
    one = partial(_awaited, at_once=1)
    yield Case(
        "awaited, one at a time",
        contender("aenqueue", server, one, few, 1),
        contender("enqueue", server, one_by_one, few, 1),
        target="ratio ≥ 0.8",
    )
    yield Case(
        f"{AT_ONCE} at once on one loop",
        contender(f"{AT_ONCE} at once", server, partial(_awaited, at_once=AT_ONCE), few, 1),
        contender("one at a time", server, one, few, 1),
        target="ratio ≥ 1.5",
    )


def _awaited(database: Database, jobs: int, *, at_once: int) -> Callable[[], None]:
    """Connect and warm up; return what stores so many jobs by `at_once` coroutines."""
    configure(database.url)
    runner = asyncio.Runner()
    runner.run(_store(AT_ONCE, at_once))
    return lambda: runner.run(_store(jobs, at_once))


async def _store(jobs: int, at_once: int) -> None:
    numbers = iter(range(jobs))

    async def work() -> None:
        for number in numbers:
            await noop.aenqueue(number)

    await asyncio.gather(*(work() for _ in range(at_once)))
