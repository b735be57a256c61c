"""Sums what the processes of a tree have counted in shared memory."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jobsd.instruments.figures import Durations, TreeFigures
from jobsd.processes.counters import BUCKETS_S, OUTCOMES
from jobsd.processes.slot import REASONS, TAKEN, UP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.processes.board import Board
    from jobsd.processes.counters import QueueCounters


def tree_figures(board: Board) -> TreeFigures:
    """Return what the tree has counted since it was started.

    Counters of a slot are never reset, whoever dies and whoever follows: so the sums over
    all slots never go back.
    """
    rows: defaultdict[str, list[QueueCounters]] = defaultdict(list)
    for slot in board.used():
        for counters in slot.queues():
            rows[counters.name].append(counters)
    workers = [slot for slot in board.living() if slot.kind == "worker"]
    busy = sum(slot.busy for slot in workers)
    return TreeFigures(
        bounds_s=BUCKETS_S,
        outcomes={
            queue: {name: sum(each.outcome(name) for each in rows[queue]) for name in OUTCOMES}
            for queue in sorted(rows)
        },
        runs={queue: _sum(each.durations() for each in rows[queue]) for queue in sorted(rows)},
        waits={queue: _sum(each.waits() for each in rows[queue]) for queue in sorted(rows)},
        restarts=_restarts(board),
        busy_threads=busy,
        idle_threads=max(0, sum(slot.threads for slot in workers) - busy),
        loop_age_s=board.tick_age_s,
        dropped_lines=board.dropped_lines + sum(slot.dropped_lines for slot in board.used()),
        database_up=board.database_answers,
        reloads=board.reloads(),
        reload_succeeded=not board.reload_failed,
    )


def _sum(histograms: Iterable[tuple[list[int], float]]) -> Durations:
    counts = [0] * (len(BUCKETS_S) + 1)
    total_s = 0.0
    for each, seconds in histograms:
        counts = [ours + theirs for ours, theirs in zip(counts, each, strict=True)]
        total_s += seconds
    return Durations(counts, total_s)


def _restarts(board: Board) -> dict[tuple[str, str], int]:
    """Return the counts; zeros too for the kinds that there are, so that a first one shows."""
    kinds = sorted({slot.kind for slot in board.used() if slot.state in {TAKEN, UP}})
    counts = {(kind, reason): 0 for kind in kinds for reason in REASONS}
    counts.update(((kind, reason), count) for kind, reason, count in board.restarts())
    return counts
