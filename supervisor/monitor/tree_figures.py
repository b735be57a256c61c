"""Sums the counters of a tree's processes in shared memory: for a scrape, and the log.

A log without a line for each job gets one line a minute (`Summary`); that costs jobs and
workers no time.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from jobsd.clock import monotonic, monotonic_ns
from jobsd.events.events import emit
from jobsd.metrics.figures import Durations, TreeFigures
from jobsd.scoreboard.counters import BUCKETS_S, FAILURES, OUTCOMES, Sums
from jobsd.scoreboard.scoreboard import REASONS, TAKEN, UP, Scoreboard, ScoreboardEntry

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_figures(scoreboard: Scoreboard) -> TreeFigures:
    """Return the tree's counts since it was started.

    Counters of an entry are never reset when a process dies or another follows, so the sums
    over all entries never go back.
    """
    used = list(scoreboard.used())
    rows, classes = scoreboard.by_queue(), scoreboard.by_class()
    workers = [entry for entry in scoreboard.living() if entry.kind == "worker"]
    return TreeFigures(
        bounds_s=BUCKETS_S,
        outcomes={queue: _outcomes(each) for queue, each in rows.items()},
        timeouts={queue: _timeouts(each) for queue, each in rows.items()},
        expired=_events(rows, "expired"),
        cancelled=_events(rows, "cancelled"),
        runs={queue: Durations(*each.durations()) for queue, each in rows.items()},
        waits={queue: Durations(*each.waits()) for queue, each in rows.items()},
        class_outcomes={name: _outcomes(each) for name, each in classes.items()},
        class_runs={name: Durations(*each.durations()) for name, each in classes.items()},
        failures=_failures(used),
        restarts=_restarts(scoreboard),
        web_requests=_requests(used),
        busy_threads=(busy := sum(entry.busy for entry in workers)),
        busy_coroutines=sum(entry.busy_coroutines for entry in workers),
        idle_coroutines=sum(max(0, entry.coroutines_max - entry.busy) for entry in workers),
        idle_threads=max(0, sum(entry.threads for entry in workers) - busy),
        loop_age_s=scoreboard.tick_age_s,
        dropped_lines=scoreboard.dropped_lines + sum(entry.dropped_lines for entry in used),
        prunes=sum(entry.prunes for entry in used),
        claims_lost=sum(entry.claims_lost for entry in used),
        outages=scoreboard.outages,
        outage_s=scoreboard.outage_ns / 1e9,
        outage_age_s=_outage_age_s(scoreboard),
        database_up=scoreboard.database_answers,
        reloads=scoreboard.reloads(),
        reload_succeeded=not scoreboard.reload_failed,
        resident_bytes=_resident_bytes(scoreboard),
    )


def busy_jobs(scoreboard: Scoreboard) -> list[int]:
    """Return the ids of the jobs that run in the tree."""
    workers = (entry for entry in scoreboard.living() if entry.kind == "worker")
    return [job_id for entry in workers for job_id in entry.begun()]


def _outcomes(counts: Sums) -> dict[str, int]:
    return {outcome: counts.outcome(outcome) for outcome in OUTCOMES}


def _events(rows: dict[str, Sums], event: str) -> dict[str, int]:
    return {queue: each.outcome(event) for queue, each in rows.items()}


def _timeouts(counts: Sums) -> dict[str, int]:
    return {kind: counts.outcome(f"timed_out_{kind}") for kind in ("soft", "hard")}


def _failures(entries: Iterable[ScoreboardEntry]) -> dict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(FAILURES, 0))
    for entry in entries:
        for error, counts in entry.failures():
            for outcome, count in counts.items():
                found[error][outcome] += count
    return dict(sorted(found.items()))


def _requests(entries: Iterable[ScoreboardEntry]) -> dict[tuple[str, str], int]:
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        for request, count in entry.requests():
            found[request] += count
    return {request: count for request, count in found.items() if count}


def _outage_age_s(scoreboard: Scoreboard) -> float:
    since_ns = scoreboard.outage_since_ns
    return (monotonic_ns() - since_ns) / 1e9 if since_ns else 0.0


def _resident_bytes(scoreboard: Scoreboard) -> dict[tuple[str, str], int]:
    """Return the memory of each living process; one that is just ending has none."""
    sizes: dict[tuple[str, str], int] = {}
    for entry in scoreboard.living():
        with contextlib.suppress(OSError):
            pages = Path(f"/proc/{entry.pid}/statm").read_text(encoding="ascii").split()[1]
            sizes[entry.kind, str(entry.number)] = int(pages) * _PAGE_BYTES
    return sizes


def _restarts(scoreboard: Scoreboard) -> dict[tuple[str, str], int]:
    """Return the counts, with zeros for the configured kinds, so that a first restart shows."""
    kinds = sorted({entry.kind for entry in scoreboard.used() if entry.state in {TAKEN, UP}})
    counts = {(kind, reason): 0 for kind in kinds for reason in REASONS}
    counts.update(((kind, reason), count) for kind, reason, count in scoreboard.restarts())
    return counts


INTERVAL_S = 60.0
_SHARE = 0.95


def _no_counts() -> list[int]:
    return [0] * (len(BUCKETS_S) + 1)


@dataclass(slots=True)
class _Totals:
    """The tree's counts since it was started."""

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
        """Emit the counts of a minute, when it is over."""
        if monotonic() < self._due:
            return
        self._due = monotonic() + INTERVAL_S
        before, self._before = self._before, self._totals()
        now = self._before
        counts = {name: now.outcomes[name] - before.outcomes[name] for name in OUTCOMES}
        runs = _less(now.runs, before.runs)
        # A job that began has ended since, or runs now.
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
        totals.busy = sum(entry.busy for entry in workers)
        return totals


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the duration below which this share of the durations lies; None without any.

    Within a bucket they count as spread evenly, as in Prometheus. Durations beyond the last
    bound count as that bound.
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
