"""Where a worker begins to look: behind the jobs that it has taken last.

While any old transaction is open anywhere, rows that were taken can't be vacuumed, and a
search from the head of the index walks over all of them each time: every design fell to
a quarter or half after 48,000 jobs. So a worker remembers, for each queue and priority,
the last position that it took, and searches behind it. Positions only grow: a job that
becomes ready later gets a later one.

Two kinds of jobs lie before the remembered place: those whose enqueuer committed late, and
those that were released. A *sweep* from the head finds them: at once when a claim came
back short; and in any case every five seconds, so that no job waits longer for the sake of
this memory. A sweep that is costly, because there is much to walk over, is made for at
most a tenth of the time.

A *gap* holds nothing but jobs that can't be run here (see worker/stretch): it is passed over,
by sweeps too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.jobs.claims import array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobsd.jobs.lanes import Lane

    Place = tuple[int, int]
    """A priority and a position."""
    Gaps = dict[int, tuple[int, int]]
    """By priority: behind which position it begins, and at which it ends."""

SWEEP_S = 5.0
"""The longest time between two sweeps while jobs are claimed."""
SHARE = 9.0
"""After a sweep, at least this many times its duration passes before the next."""

_LOWEST = -(2**63)
_FIRST = (-(2**31), _LOWEST)
_BEYOND = (2**31, _LOWEST)


class Places:
    """The remembered places of one worker; the queue is None when it listens to all."""

    def __init__(self) -> None:
        self._last: dict[str | None, dict[int, int]] = {}
        self.gaps: dict[str | None, Gaps] = {}
        self._sweep_due = True
        self._swept_at = 0.0
        self._sweep_allowed_at = 0.0

    def begin(self) -> bool:
        """Begin a claim; forget all places and return True when it is to be a sweep."""
        now = monotonic()
        wanted = self._sweep_due or now - self._swept_at >= SWEEP_S
        sweep = wanted and now >= self.sweep_at
        if sweep:
            self._last.clear()
            self._sweep_due = False
            self._swept_at = now
        return sweep

    def end(self, taken: Iterable[tuple[str | None, int, int]], *, sweep: bool) -> None:
        """Take in the queue, priority and position of each job that was claimed, in order."""
        # Of each queue and priority the last one is the farthest.
        lasts = {(queue, priority): position for queue, priority, position in taken}
        for (queue, priority), position in lasts.items():
            known = self._last.setdefault(queue, {})
            known[priority] = max(position, known.get(priority, position))
        if sweep:
            cost_s = monotonic() - self._swept_at
            self._sweep_allowed_at = monotonic() + SHARE * cost_s

    def forget(self) -> None:
        """Begin anew: what is remembered may be of another past."""
        self._last.clear()
        self.gaps.clear()
        self._sweep_due = True
        self._swept_at = self._sweep_allowed_at = 0.0

    def want_sweep(self) -> None:
        """Say that jobs may lie before the remembered places: a claim came back short."""
        self._sweep_due = True

    @property
    def sweep_at(self) -> float:
        """When the next sweep may be made (monotonic)."""
        return min(self._sweep_allowed_at, self._swept_at + SWEEP_S)

    def skip(self, queue: str | None, priority: int, start: int, end: int) -> None:
        """Pass over what lies behind `start` up to `end`: a gap, or more of the one known."""
        gaps = self.gaps.setdefault(queue, {})
        first, last = gaps.get(priority, (start, end))
        gaps[priority] = min(first, start), max(last, end)

    def segments(self, queues: Sequence[str | None]) -> dict[str, Any]:
        """Return the parts of the index to search, in order, as parameters of a claim.

        Each reaches from behind a remembered place to the next priority that is known, or to
        a gap.
        """
        rows = [
            (queue, *after, *below)
            for queue in queues
            for after, below in self._of(queue, gaps=True)
        ]
        return {"names": [row[0] for row in rows], **_bounds(rows)}

    def segments_with(
        self, queues: Sequence[str | None], lanes: Iterable[Lane], *, ranked: bool
    ) -> dict[str, Any]:
        """Return these parts, and behind them those of some lanes, as parameters of a claim.

        With `ranked` all of a queue that comes first comes before all of the next one. A lane
        is searched from the places of its queue: its jobs were claimed in one order with the
        others of that.
        """
        turns = {queue: turn if ranked else 0 for turn, queue in enumerate(queues)}
        rows = [
            (queue, *after, *below, "", turn)
            for queue, turn in turns.items()
            for after, below in self._of(queue, gaps=True)
        ]
        for queue, lane in lanes:
            place = queue if queue in turns else None
            rows += [
                (queue, *after, *below, lane, turns.get(place, 0))
                for after, below in self._of(place, gaps=False)
            ]
        return {
            "names": [row[0] or "" for row in rows],
            "lanes": [row[5] for row in rows],
            "turns": array(row[6] for row in rows),
            **_bounds(rows),
        }

    def _of(self, queue: str | None, *, gaps: bool) -> Iterator[tuple[Place, Place]]:
        known = self._last.get(queue, {})
        passed = self.gaps.get(queue, {}) if gaps else {}
        after = _FIRST
        for priority in sorted({**known, **passed}):
            last = known.get(priority)
            start, end = passed.get(priority, (_LOWEST, _LOWEST))
            if last is None:
                # Up to the gap in one part: what is more urgent, and what lies before it.
                yield after, (priority, start + 1)
            else:
                yield after, (priority, _LOWEST)
                if last < start:
                    yield (priority, last), (priority, start + 1)
            after = priority, max(end, _LOWEST if last is None else last)
        yield after, _BEYOND


def _bounds(rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    return {
        "after_priorities": array(row[1] for row in rows),
        "after_positions": array(row[2] for row in rows),
        "below_priorities": array(row[3] for row in rows),
        "below_positions": array(row[4] for row in rows),
    }
