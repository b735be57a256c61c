"""Sums what the processes of a tree have counted in shared memory."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from jobsd.clock import monotonic_ns
from jobsd.instruments.figures import Durations, TreeFigures
from jobsd.processes.counters import BUCKETS_S, FAILURES, OUTCOMES, Sums
from jobsd.processes.entry import REASONS, TAKEN, UP, ScoreboardEntry
from jobsd.processes.scoreboard import Scoreboard

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_figures(scoreboard: Scoreboard) -> TreeFigures:
    """Return what the tree has counted since it was started.

    Counters of an entry are never reset when a process dies or another follows, so the sums
    over all entries never go back.
    """
    used = list(scoreboard.used())
    rows, classes = scoreboard.by_queue(), scoreboard.by_class()
    workers = [entry for entry in scoreboard.living() if entry.kind == "worker"]
    coroutines = sum(entry.busy_coroutines for entry in workers)
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
        busy_coroutines=coroutines,
        idle_coroutines=sum(entry.coroutines_max for entry in workers) - coroutines,
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
    """Return the ids of the jobs that threads of the tree run."""
    workers = (entry for entry in scoreboard.living() if entry.kind == "worker")
    return [job_id for entry in workers for job_id in entry.at_threads()]


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
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{entry.pid}/statm").read_text(encoding="ascii").split()[1]
            sizes[entry.kind, str(entry.number)] = int(pages) * _PAGE_BYTES
    return sizes


def _restarts(scoreboard: Scoreboard) -> dict[tuple[str, str], int]:
    """Return the counts, with zeros for the kinds that there are, so that a first one shows."""
    kinds = sorted({entry.kind for entry in scoreboard.used() if entry.state in {TAKEN, UP}})
    counts = {(kind, reason): 0 for kind in kinds for reason in REASONS}
    counts.update(((kind, reason), count) for kind, reason, count in scoreboard.restarts())
    return counts
