"""Of what the time from an enqueue to the first line of its job is made.

One worker, as the supervisor forks it, notes for each job when it was awake, when it sent the
claim, and when that was answered. Each part is a median of its own, so that their sum is not
that of the whole to the last digit. A part may be less than nothing: a worker may be awake
before its enqueuer, which has been answered, goes on.
"""

from __future__ import annotations

import json
import mmap
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from jobsd import configure
from jobsd.clock import monotonic
from jobsd.configuration.options import WorkerOptions
from jobsd.worker.worker import Worker

from .jobs import make_stamps, stamp
from .pairs import Case, Contender, Measured
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobsd.configuration.options import JobsOptions
    from jobsd.database.connection import Target
    from jobsd.jobs.claimed_job import ClaimedJob
    from jobsd.performing.runner import Rank
    from jobsd.processes.context import Context
    from jobsd.states.claims import Ended
    from jobsd.worker.recording import Recording
    from jobsd.worker.turn import ClaimRequest, TurnResult

    from .server import Server

_WARM_UP_S = 1.5
_GAP_S = 0.02
_PATIENCE_S = 30.0
_OPTIONS = WorkerOptions(threads=3)
_NOTES = 3


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield the parts of a start of jobs in quick succession."""
    jobs = max(10, int(300 * scale))
    yield Case("every 20 ms", Contender("jobsd", partial(_parts, server, jobs)))


class _Noting(Worker):
    """A worker that notes when it was awake, asked for jobs, and was answered."""

    def __init__(
        self,
        notes: memoryview[float],
        context: Context,
        target: Target,
        options: WorkerOptions,
        jobs: JobsOptions,
    ) -> None:
        super().__init__(context, target, options, jobs)
        self._notes = notes
        self._awake_at = self._sent_at = 0.0
        self._posted, self._taken = self.pool.post, self.turns.take
        self.pool.post = self._post  # type: ignore[method-assign]
        self.turns.take = self._take  # type: ignore[method-assign]

    def poll(self) -> float:
        self._awake_at = monotonic()
        return super().poll()

    def _take(
        self, recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        self._sent_at = monotonic()
        return self._taken(recording, release=release, request=request)

    def _post(
        self, jobs: list[ClaimedJob], asked_at: float, low_water: int, rank: Rank
    ) -> None:
        answered_at = monotonic()
        for job in jobs:
            first = json.loads(job.arguments)[0] * _NOTES
            for place, moment in enumerate((self._awake_at, self._sent_at, answered_at)):
                self._notes[first + place] = moment
        self._posted(jobs, asked_at, low_water, rank)


def _parts(server: Server, jobs: int) -> Measured:
    notes = memoryview(mmap.mmap(-1, 8 * _NOTES * jobs)).cast("d")
    with tempfile.TemporaryDirectory(prefix="jobsd-benchmarks-") as folder:
        began = make_stamps(Path(folder) / "stamps", jobs)
        with server.database() as database:
            configure(database.url)
            workers = Workers(database.target, 1, _OPTIONS, partial(_Noting, notes))
            workers.go()
            try:
                time.sleep(_WARM_UP_S)
                enqueued = [_enqueue(number) for number in range(jobs)]
                _await(began, jobs)
            finally:
                configure()
                workers.stop()
    rows = [
        (*enqueued[number], *notes[number * _NOTES : (number + 1) * _NOTES], began[number])
        for number in range(jobs)
    ]
    return Measured(_figures(rows))


def _enqueue(number: int) -> tuple[float, float]:
    time.sleep(_GAP_S)
    called = monotonic()
    stamp.enqueue(number)
    return called, monotonic()


def _await(began: memoryview[float], jobs: int) -> None:
    end = monotonic() + _PATIENCE_S
    while not all(began[:jobs]):
        if monotonic() > end:
            raise TimeoutError("not all jobs have begun in time")
        time.sleep(_GAP_S)


def _figures(rows: list[tuple[float, ...]]) -> dict[str, float]:
    """Return the medians of what lies between the moments of each job, in milliseconds."""
    called, returned, awake, sent, answered, begun = range(6)
    parts = {
        "p50_from_call_ms": (called, begun),
        "commit_ms": (called, returned),
        "notification_ms": (returned, awake),
        "wake_up_ms": (awake, sent),
        "claim_ms": (sent, answered),
        "hand_over_ms": (answered, begun),
    }
    return {
        name: median(row[end] - row[start] for row in rows) * 1000
        for name, (start, end) in parts.items()
    }
