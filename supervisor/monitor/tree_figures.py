"""Sums what the processes of a tree have counted in shared memory."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.instruments.figures import Durations, TreeFigures
from jobsd.processes.counters import BUCKETS_S, OUTCOMES
from jobsd.processes.entry import REASONS, TAKEN, UP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.processes.counters import QueueCounters
    from jobsd.processes.scoreboard import Scoreboard

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_figures(scoreboard: Scoreboard) -> TreeFigures:
    """Return what the tree has counted since it was started.

    Counters of an entry are never reset when a process dies or another follows, so the sums
    over all entries never go back.
    """
    rows: defaultdict[str, list[QueueCounters]] = defaultdict(list)
    for entry in scoreboard.used():
        for counters in entry.queues():
            rows[counters.name].append(counters)
    workers = [entry for entry in scoreboard.living() if entry.kind == "worker"]
    busy = sum(entry.busy for entry in workers)
    return TreeFigures(
        bounds_s=BUCKETS_S,
        outcomes={
            queue: {name: _count(rows[queue], name) for name in OUTCOMES}
            for queue in sorted(rows)
        },
        timeouts={queue: _timeouts(rows[queue]) for queue in sorted(rows)},
        expired={queue: _count(rows[queue], "expired") for queue in sorted(rows)},
        cancelled={queue: _count(rows[queue], "cancelled") for queue in sorted(rows)},
        runs={queue: _sum(each.durations() for each in rows[queue]) for queue in sorted(rows)},
        waits={queue: _sum(each.waits() for each in rows[queue]) for queue in sorted(rows)},
        restarts=_restarts(scoreboard),
        busy_threads=busy,
        busy_coroutines=(coroutines := sum(entry.busy_coroutines for entry in workers)),
        idle_coroutines=sum(entry.coroutines_max for entry in workers) - coroutines,
        idle_threads=max(0, sum(entry.threads for entry in workers) - busy),
        loop_age_s=scoreboard.tick_age_s,
        dropped_lines=scoreboard.dropped_lines
        + sum(entry.dropped_lines for entry in scoreboard.used()),
        database_up=scoreboard.database_answers,
        reloads=scoreboard.reloads(),
        reload_succeeded=not scoreboard.reload_failed,
        resident_bytes=_resident_bytes(scoreboard),
    )


def _timeouts(rows: Iterable[QueueCounters]) -> dict[str, int]:
    found = list(rows)
    return {kind: _count(found, f"timed_out_{kind}") for kind in ("soft", "hard")}


def _count(rows: Iterable[QueueCounters], what: str) -> int:
    return sum(each.outcome(what) for each in rows)


def _resident_bytes(scoreboard: Scoreboard) -> dict[tuple[str, str], int]:
    """Return the memory of each living process; one that is just ending has none."""
    sizes: dict[tuple[str, str], int] = {}
    for entry in scoreboard.living():
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{entry.pid}/statm").read_text(encoding="ascii").split()[1]
            sizes[entry.kind, str(entry.number)] = int(pages) * _PAGE_BYTES
    return sizes


def _sum(histograms: Iterable[tuple[list[int], float]]) -> Durations:
    counts = [0] * (len(BUCKETS_S) + 1)
    total_s = 0.0
    for each, seconds in histograms:
        counts = [ours + theirs for ours, theirs in zip(counts, each, strict=True)]
        total_s += seconds
    return Durations(counts, total_s)


def _restarts(scoreboard: Scoreboard) -> dict[tuple[str, str], int]:
    """Return the counts, with zeros for the kinds that there are, so that a first one shows."""
    kinds = sorted({entry.kind for entry in scoreboard.used() if entry.state in {TAKEN, UP}})
    counts = {(kind, reason): 0 for kind in kinds for reason in REASONS}
    counts.update(((kind, reason), count) for kind, reason, count in scoreboard.restarts())
    return counts
