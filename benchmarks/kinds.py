"""What asynchronous, bounded and unique jobs cost, and how soon a result is there.

Each beside the same without it: coroutines beside functions and beside asyncio alone.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from jobsd import configure
from jobsd.clock import monotonic

from .children import Children, cpu_of, span_s
from .drain import drain, ours_once
from .enqueue import one_by_one, store
from .filling import fill
from .jobs import (
    SLEEP_S,
    bounded,
    noop,
    noop_on_loop,
    sleep_on_loop,
    stamp,
    unique,
    with_result,
)
from .latency import taken_times
from .meter import Meter
from .pairs import Case, Contender, Measured
from .waiting import ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .server import Database, Server

_COROUTINES = 500
_GAP_S = 0.02


def asynchronous_cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield drains of coroutines."""
    many, waiting = max(100, int(50_000 * scale)), max(600, int(50_000 * scale))
    drained = partial(_drained, server, noop_on_loop.definition.name, many)
    yield Case(
        "1x3 no-op",
        Contender("coroutines", partial(drained, 3, 100)),
        Contender("threads", partial(_functions, server, many)),
        target="ratio ≥ 0.8",
    )
    yield Case(
        f"{_COROUTINES} at once, of 20 ms sleep",
        Contender(
            "coroutines",
            partial(_drained, server, sleep_on_loop.definition.name, waiting, 1, _COROUTINES),
        ),
        Contender("asyncio", partial(_bare, server, waiting)),
        target="ratio ≥ 0.7",
    )


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield time limits, unique jobs and results."""
    many, few = max(100, int(50_000 * scale)), max(10, int(5_000 * scale))
    yield Case(
        "drain with a time limit",
        Contender("limited", partial(_drained, server, bounded.definition.name, many, 3)),
        Contender("unlimited", partial(_functions, server, many)),
        target="ratio ≥ 0.97",
    )
    yield Case(
        "unique, enqueue one at a time",
        Contender("unique", partial(_store, server, _unique_one_by_one, few)),
        Contender("plain", partial(_store, server, one_by_one, few)),
        target="ratio ≥ 0.8",
    )
    yield Case(
        "result of a no-op",
        Contender("enqueue to result", partial(_results, server, max(10, int(300 * scale)))),
        Contender("enqueue to start", partial(_starts, server, max(10, int(300 * scale)))),
        target="ratio ≤ 2.5",
    )


def _drained(
    server: Server, class_name: str, jobs: int, threads: int, coroutines: int | None = None
) -> Measured:
    with server.database() as database:
        fill(database, class_name, jobs)
        database.settle()
        return drain(server, database, jobs, 1, threads, coroutines=coroutines)


def _functions(server: Server, jobs: int) -> Measured:
    return ours_once(server, "no-op", jobs, 1, 3)[1]


def _bare(server: Server, jobs: int) -> Measured:
    """Sleep as often by asyncio alone, as many at once."""

    async def sleep_all() -> None:
        room = asyncio.Semaphore(_COROUTINES)

        async def one() -> None:
            await asyncio.sleep(SLEEP_S)
            room.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                await room.acquire()
                group.create_task(one())

    with server.database() as database:
        meter = Meter(server, database.name)
        laps = Children(1, lambda _: lambda: asyncio.run(sleep_all())).run()
        usage = meter.read().per(jobs, cpu_of(laps))
        return Measured({"jobs_per_s": jobs / span_s(laps)}, usage)


def _store(
    server: Server, way: Callable[[Database, int], Callable[[], None]], jobs: int
) -> Measured:
    with server.database() as database:
        database.settle()
        return store(server, database, way, jobs)


def _unique_one_by_one(database: Database, jobs: int) -> Callable[[], None]:
    configure(database.url)
    unique.enqueue(-1)

    def work() -> None:
        for number in range(jobs):
            unique.enqueue(number)

    return work


def _results(server: Server, jobs: int) -> Measured:
    with server.database() as database, ours(database):
        waits: list[float] = []
        with_result.enqueue(-1).result(timeout=30)
        for number in range(jobs):
            time.sleep(_GAP_S)
            began = monotonic()
            with_result.enqueue(number).result(timeout=30)
            waits.append(monotonic() - began)
        return Measured(_quantiles(waits))


def _starts(server: Server, jobs: int) -> Measured:
    with taken_times(jobs) as times, server.database() as database, ours(database):
        noop.enqueue(-1)
        for _ in range(jobs):
            time.sleep(_GAP_S)
            times.enqueue(stamp.enqueue)
        figures: dict[str, Any] = times.figures()
        return Measured({"p50_ms": figures["p50_from_call_ms"]})


def _quantiles(waits: list[float]) -> dict[str, float]:
    ordered = sorted(waits)
    return {
        f"p{share}_ms": ordered[round(share / 100 * (len(ordered) - 1))] * 1000
        for share in (50, 95)
    }
