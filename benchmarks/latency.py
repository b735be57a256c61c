"""How soon a job begins: from the return of its enqueue to its first line.

At 20 ms between jobs a worker has hardly gone to rest when the next one comes; only gaps of
seconds show the wake-up itself. There both contenders rest side by side and get their jobs in
turns, so that each pair of jobs meets the machine in the same mood.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

from .children import Children
from .filling import fill
from .jobs import make_stamps, noop, stamp
from .meter import Meter, Usage
from .pairs import Case, Contender, Measured
from .waiting import ours, theirs

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from .server import Server
    from .waiting import Enqueue, Waiting

_WARM_UP_S = 1.5
_GAP_S = 0.02
_LOAD_PER_S = 1000
_BACKLOG = 100_000
_PATIENCE_S = 30.0
_TARGET = "p50/p95/p99 ≤ 0.7/1.5/3 ms"


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield quick succession, alone and under load, long rests, and urgent jobs in a crowd."""
    jobs, rare = max(10, int(300 * scale)), max(2, int(60 * scale))
    for name, load, target in (
        ("every 20 ms", 0, _TARGET),
        (f"every 20 ms beside {_LOAD_PER_S:,}/s", _LOAD_PER_S, ""),
    ):
        yield Case(
            name,
            Contender("jobsd", partial(_every_20_ms, server, ours, jobs, load)),
            Contender("prototype", partial(_every_20_ms, server, theirs, jobs, load)),
            target=target,
        )
    both = cache(partial(_after_rests, server, rare))
    yield Case(
        "after 1 to 4 s",
        Contender("jobsd", lambda: both()[0]),
        Contender("prototype", lambda: both()[1]),
        pairs_max=1,
        target=_TARGET,
    )

    backlog = max(100, int(_BACKLOG * scale))
    yield Case(
        f"urgent, before {backlog:,}",
        Contender("jobsd", partial(_urgent, server, max(10, int(50 * scale)), backlog)),
        target="all ≤ 50 ms",
    )


@dataclass(slots=True)
class _Times:
    """When enqueues were called and returned, and when their jobs began (monotonic)."""

    began: memoryview[float]
    called: list[float] = field(default_factory=list[float])
    returned: list[float] = field(default_factory=list[float])

    def enqueue(self, enqueue: Enqueue) -> None:
        """Store the next job."""
        number = len(self.called)
        self.called.append(monotonic())
        enqueue(number)
        self.returned.append(monotonic())

    def figures(self) -> dict[str, float]:
        """Wait until the last job has begun; return quantiles in milliseconds."""
        end = monotonic() + _PATIENCE_S
        while not all(self.began[: len(self.called)]):
            if monotonic() > end:
                raise TimeoutError("not all jobs have begun in time")
            time.sleep(_GAP_S)
        return {
            "p50_ms": self._quantile(0.5, self.returned),
            "p95_ms": self._quantile(0.95, self.returned),
            "p99_ms": self._quantile(0.99, self.returned),
            "max_ms": self._quantile(1.0, self.returned),
            "p50_from_call_ms": self._quantile(0.5, self.called),
        }

    def _quantile(self, share: float, since: Sequence[float]) -> float:
        waits = sorted(self.began[number] - moment for number, moment in enumerate(since))
        return waits[round(share * (len(waits) - 1))] * 1000


def _every_20_ms(server: Server, waiting: Waiting, jobs: int, load: int) -> Measured:
    with taken_times(jobs) as times, server.database() as database:
        meter = Meter(server, database.name)
        with waiting(database) as connect, _loaded(connect, load):
            enqueue = connect()
            time.sleep(_WARM_UP_S)
            enqueue(-1)
            for _ in range(jobs):
                time.sleep(_GAP_S)
                times.enqueue(enqueue)
            figures = times.figures()
        total = meter.read()
        # Beside other jobs nobody can say which cost was whose.
        return Measured(figures, Usage() if load else total.per(jobs, None))


def _urgent(server: Server, jobs: int, backlog: int) -> Measured:
    """Store urgent jobs while the tree works on very many others."""
    with taken_times(jobs) as times, server.database() as database, ours(database) as connect:
        fill(database, noop.definition.name, backlog)
        connect()(-1)
        for _ in range(jobs):
            time.sleep(_GAP_S)
            times.enqueue(stamp.using(priority=-1).enqueue)
        return Measured(times.figures())


def _after_rests(server: Server, jobs: int) -> tuple[Measured, Measured]:
    with contextlib.ExitStack() as stack:
        sides: list[tuple[Enqueue, _Times]] = []
        for waiting in (ours, theirs):
            times = stack.enter_context(taken_times(jobs))
            database = stack.enter_context(server.database())
            sides.append((stack.enter_context(waiting(database))(), times))
        for enqueue, _ in sides:
            enqueue(-1)
        dice = random.Random(20)  # noqa: S311 - the same gaps each time
        for _ in range(jobs):
            for enqueue, times in sides:
                time.sleep(dice.uniform(0.5, 2.0))
                times.enqueue(enqueue)
        first, second = (Measured(times.figures()) for _, times in sides)
        return first, second


@contextlib.contextmanager
def taken_times(jobs: int) -> Generator[_Times]:
    """Make the file in which the jobs of workers that are started now will note their begin."""
    with tempfile.TemporaryDirectory(prefix="jobsd-benchmarks-") as folder:
        Path(folder).chmod(0o755)
        yield _Times(make_stamps(Path(folder) / "stamps", jobs))


@contextlib.contextmanager
def _loaded(connect: Callable[[], Enqueue], per_s: int) -> Generator[None]:
    """Have another process store so many jobs a second, evenly, during the block."""
    if not per_s:
        yield
        return
    children = Children(1, lambda _: partial(_enqueue_evenly, connect(), per_s))
    children.go()
    try:
        yield
    finally:
        os.kill(children.pids[0], signal.SIGTERM)
        children.laps()


def _enqueue_evenly(enqueue: Enqueue, per_s: int) -> None:
    stopping: list[bool] = []
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stopping.append(True))
    due = monotonic()
    while not stopping:
        enqueue(-1)
        due += 1 / per_s
        time.sleep(max(0.0, due - monotonic()))
