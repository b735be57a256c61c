"""What the tree's jobs did in the last minute, in one line: for a log without a line for each.

The counters are in shared memory and are read once a minute, so no job and no worker pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from jobsd.clock import monotonic
from jobsd.instruments.events import emit
from jobsd.processes.counters import BUCKETS_S, OUTCOMES
from jobsd.processes.scoreboard import Scoreboard

INTERVAL_S = 60.0
_SHARE = 0.95


def _no_counts() -> list[int]:
    return [0] * (len(BUCKETS_S) + 1)


@dataclass(slots=True)
class _Totals:
    """What the tree has counted since it was started."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    waits: list[int] = field(default_factory=_no_counts)
    runs: list[int] = field(default_factory=_no_counts)
    busy: int = 0


class Summary:
    """Emits `jobs.counted` once a minute in which jobs ran or ended."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self._due = monotonic() + INTERVAL_S
        # A successor of a monitor goes on from here, not from the beginning of the tree.
        self._before = self._totals()

    def poll(self) -> None:
        """Emit what has happened, when a minute is over."""
        if monotonic() < self._due:
            return
        self._due = monotonic() + INTERVAL_S
        before, self._before = self._before, self._totals()
        now = self._before
        counts = {name: now.outcomes[name] - before.outcomes[name] for name in OUTCOMES}
        runs = _less(now.runs, before.runs)
        # What has begun has ended since, or runs now.
        started = max(0, sum(runs) + now.busy - before.busy)
        if not started and not any(counts.values()):
            return
        emit(
            "jobs.counted",
            started=started,
            **counts,
            wait_p95=quantile(_less(now.waits, before.waits), _SHARE),
            run_p95=quantile(runs, _SHARE),
            seconds=INTERVAL_S,
        )

    def _totals(self) -> _Totals:
        totals = _Totals()
        for counters in self._scoreboard.by_queue().values():
            for name in OUTCOMES:
                totals.outcomes[name] += counters.outcome(name)
            totals.waits = _plus(totals.waits, counters.waits()[0])
            totals.runs = _plus(totals.runs, counters.durations()[0])
        workers = [entry for entry in self._scoreboard.living() if entry.kind == "worker"]
        totals.busy = sum(entry.busy + entry.busy_coroutines for entry in workers)
        return totals


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return below how many seconds this share of the durations lies; None without any.

    Within a bucket they count as spread evenly, as Prometheus has it. What lies beyond the last
    bound counts as that.
    """
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    lower = 0.0
    for upper, count, upto in zip(BUCKETS_S, counts, accumulate(counts), strict=False):
        if upto >= rank and count:
            return round(lower + (upper - lower) * (rank - (upto - count)) / count, 4)
        lower = upper
    return BUCKETS_S[-1]


def _plus(ours: Sequence[int], theirs: Sequence[int]) -> list[int]:
    return [one + other for one, other in zip(ours, theirs, strict=True)]


def _less(ours: Sequence[int], theirs: Sequence[int]) -> list[int]:
    return [one - other for one, other in zip(ours, theirs, strict=True)]
