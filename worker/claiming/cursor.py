"""The claim cursor: the positions in the index after which a worker claims.

While any old transaction is open anywhere, rows that were claimed can't be vacuumed, and a
search from the head of the index walks over all of them each time: every design fell to
a quarter or half after 48,000 jobs. So the cursor remembers, for each queue and priority,
the last position that this worker has claimed, and the next claim begins after it. Positions
only grow: a job that becomes ready later gets a later one.

Two kinds of jobs lie before the cursor: jobs of enqueuers that committed late, and released
jobs. A *sweep* from the head finds them: at once when a claim came back short, and in any case
every five seconds, so that no job waits longer because of the cursor. A costly sweep, with
many rows to walk over, takes at most a tenth of the time. Its cost is its duration beyond that
of a claim after the cursor, or beyond a millisecond: with no rows to walk over, a sweep is
even the smaller statement (see `take_few`).

Of very many priorities only the last claimed are remembered. The *head*, before all of these,
is searched with every fifth claim or so, as its cost allows: with 30,000 priorities in use, a
claim that searches after the position of each of them takes longer than its jobs.

A *gap* holds only jobs that can't be started here now, since their limits are full.
Claims and sweeps pass over it, and it is cleared in the background: its jobs are moved out of
the way of claims.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jobsd.clock import monotonic
from jobsd.states.claims import array
from jobsd.worker.constants import (
    BREADTH,
    BUSY_SHARE,
    HEAD_SHARE,
    POLL_MAX_S,
    POLL_MIN_S,
    SHARE,
    SOON_S,
)

IndexPosition = tuple[int, int]
"""A priority and a position."""


_LOWEST = -(2**63)
_FIRST = (-(2**31), _LOWEST)
_BEYOND = (2**31, _LOWEST)


class Gap(NamedTuple):
    """A range that a cursor passes over: the positions after `start` up to `end`."""

    queue: str | None
    priority: int
    start: int
    end: int


class ClaimCursor:
    """The last positions that one worker has claimed; of all queues together under None."""

    def __init__(self) -> None:
        self._last: dict[str | None, dict[int, int]] = {}
        self._gaps: dict[str | None, dict[int, tuple[int, int]]] = {}
        self._sweep_due = True
        self.swept_at = 0.0
        self.sweep_allowed_at = 0.0
        self.returns_swept = 0
        """How often jobs had been given back at the last sweep."""
        self._usual_s = 0.0
        """How long the last claim took that was no sweep."""
        # Of the queues of which priorities are forgotten.
        self._headed: set[str | None] = set()
        self._asks_head = True
        self._asked_at = self._head_at = 0.0

    def begin_claim(self, returns: int = 0) -> bool:
        """Begin a claim; forget all positions and return True when it is to be a sweep.

        `returns` is the number of times that jobs were given back so far.
        """
        now = monotonic()
        wanted = self._sweep_due or now - self.swept_at >= POLL_MAX_S
        sweep = wanted and now >= self.sweep_at
        self._asks_head, self._asked_at = now >= self._head_at, now
        if sweep:
            self._last.clear()
            self._headed.clear()
            self._sweep_due = False
            self.swept_at = now
            self.returns_swept = returns
        return sweep

    def advance(
        self,
        claimed: Iterable[tuple[str | None, int, int]],
        *,
        sweep: bool,
        took_s: float | None = None,
    ) -> None:
        """Take in the queue, priority and position of each claimed job, in their order.

        `took_s` is the duration of the claim, since when the next one may have begun.
        """
        # Of each queue and priority the last one is the farthest.
        lasts = {(queue, priority): position for queue, priority, position in claimed}
        for (queue, priority), position in lasts.items():
            known = self._last.setdefault(queue, {})
            # At the end: the first ones are forgotten first.
            known[priority] = max(position, known.pop(priority, position))
        for queue in {queue for queue, _ in lasts}:
            self._forget(queue)
        took_s = monotonic() - self._asked_at if took_s is None else took_s
        if self._asks_head and self._headed:
            self._head_at = monotonic() + HEAD_SHARE * took_s
        if sweep:
            cost_s = max(0.0, took_s - max(self._usual_s, POLL_MIN_S))
            self.sweep_allowed_at = monotonic() + SHARE * cost_s
        else:
            self._usual_s = min(took_s, SOON_S)

    def _forget(self, queue: str | None) -> None:
        known = self._last[queue]
        if len(known) > BREADTH:
            for priority in [*known][:-BREADTH]:
                del known[priority]
            self._headed.add(queue)

    def reset(self) -> None:
        """Begin at the head: the remembered positions may be of another past."""
        self._last.clear()
        self._headed.clear()
        self._gaps.clear()
        self._sweep_due = True
        self.swept_at = self.sweep_allowed_at = 0.0

    def request_sweep(self) -> None:
        """Take note that jobs may lie before the cursor: a claim came back short."""
        self._sweep_due = True

    @property
    def sweep_at(self) -> float:
        """When the next sweep may be made (monotonic)."""
        return min(self.sweep_allowed_at, self.swept_at + POLL_MAX_S)

    def skip(self, gap: Gap) -> None:
        """Pass over a gap from now on; it may continue a known one."""
        gaps = self._gaps.setdefault(gap.queue, {})
        first, last = gaps.get(gap.priority, (gap.start, gap.end))
        gaps[gap.priority] = min(first, gap.start), max(last, gap.end)

    @property
    def first_gap(self) -> Gap | None:
        """A gap, if there is one."""
        for queue, gaps in self._gaps.items():
            for priority, (start, end) in gaps.items():
                return Gap(queue, priority, start, end)
        return None

    def cleared(self, gap: Gap, up_to: int | None) -> None:
        """Take note that a gap was cleared, to its end or up to a position.

        The cleared range is swept like all others.
        """
        if up_to is not None:
            self._gaps[gap.queue][gap.priority] = up_to, gap.end
            return
        del self._gaps[gap.queue][gap.priority]
        if not self._gaps[gap.queue]:
            del self._gaps[gap.queue]
        self.request_sweep()

    @property
    def is_at_head(self) -> bool:
        """Whether the next claim searches all, from the head on."""
        return not (self._last or self._gaps)

    @property
    def at_head_from(self) -> float:
        """From when on claims search all (monotonic); never while there is a gap."""
        if self._gaps:
            return float("inf")
        if not self._last:
            return 0.0
        return max(self.sweep_at, 0.0 if self._sweep_due else self.swept_at + POLL_MAX_S)

    def segments(self, queues: Sequence[str | None]) -> dict[str, Any]:
        """Return the parts of the index to search, in order, as parameters of a claim.

        Each reaches from after a position to the next priority that is known, or to a gap.
        """
        rows: list[tuple[Any, ...]] = []
        for queue in queues:
            # Most of thousands of queues are searched as a whole.
            if queue in self._last or queue in self._gaps:
                rows += [(queue, *after, *below) for after, below in self._of(queue)]
            else:
                rows.append((queue, *_FIRST, *_BEYOND))
        return {"names": [row[0] for row in rows], **_bounds(rows)}

    def _of(self, queue: str | None) -> Iterator[tuple[IndexPosition, IndexPosition]]:
        known = self._last.get(queue, {})
        passed = self._gaps.get(queue, {})
        after = _FIRST
        if queue in self._headed and not self._asks_head:
            after = min(known), _LOWEST
        for priority in sorted(each for each in {**known, **passed} if each >= after[0]):
            last = known.get(priority)
            start, end = passed.get(priority, (_LOWEST, _LOWEST))
            if last is None:
                # Up to the gap in one part: more urgent jobs, and those before it.
                yield after, (priority, start + 1)
            else:
                if after < (priority, _LOWEST):
                    yield after, (priority, _LOWEST)
                if last < start:
                    yield (priority, last), (priority, start + 1)
            after = priority, max(end, _LOWEST if last is None else last)
        yield after, _BEYOND


def _bounds(rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    columns = [*zip(*rows, strict=True)][1:5] or [()] * 4
    names = "after_priorities", "after_positions", "below_priorities", "below_positions"
    return dict(zip(names, map(array, columns), strict=True))


class GapClearing:
    """Clears the gaps of a cursor in the background, a part at a time.

    `clear` clears one part, and returns up to which position, or None at the gap's end.
    """

    def __init__(self, cursor: ClaimCursor, clear: Callable[[Gap], int | None]) -> None:
        self._cursor = cursor
        self._clear = clear
        self._ended_at = 0.0
        self._cost_s = 0.0

    def work(self, rest_s: float) -> float:
        """Clear a part when it is time to; return the seconds that are left to rest.

        A worker that is idle for `rest_s` rests nine times as long as a part took.
        """
        if (gap := self._cursor.first_gap) is None:
            return rest_s
        share = SHARE if rest_s else BUSY_SHARE
        if (began := monotonic()) >= self._ended_at + share * self._cost_s:
            self._cursor.cleared(gap, self._clear(gap))
            self._ended_at = monotonic()
            self._cost_s = self._ended_at - began
        return min(rest_s, max(0.0, self._ended_at + share * self._cost_s - monotonic()))
