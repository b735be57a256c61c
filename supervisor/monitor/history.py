"""Writes the tree's counts into the history: once a minute, unless it was idle.

Workers count in shared memory, whether or not it is read. Here the sums of all of them are
compared with those of the last time, and the differences are added to this minute of each queue
and this hour of each class. A monitor that follows a killed one begins with the current sums,
so a minute at most is missing; if the answer to a statement was lost, a minute may count twice.
It is a chart, no book-keeping: `attempts` and `jobs` are exact. The counts of failed jobs are
exact, too: they are only aggregated here, for queues with new counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Statements
from jobsd.operations import failures
from jobsd.scoreboard.counters import BUCKETS_S
from jobsd.scoreboard.counters import Sums as Counted
from jobsd.scoreboard.scoreboard import Scoreboard

Sums = dict[str, list[float]]

STATEMENTS = Statements("jobsd.supervisor.monitor", "history.sql")

EVERY_S = 60.0
_OUTCOMES = ("finished", "failed", "retried", "discarded")
_ENDS = ("finished", "discarded")
_BUCKETS = len(BUCKETS_S) + 1
_WAITS_AT = len(_OUTCOMES) + 2
_RUNS_AT = _WAITS_AT + _BUCKETS


class History:
    """The counts of one tree, and the written part of them."""

    def __init__(self, session: Session, scoreboard: Scoreboard) -> None:
        self._session = session
        self._scoreboard = scoreboard
        self._written = self._sums()
        self._due = monotonic() + EVERY_S
        self.writes = 0
        """Incremented when a writing begins, and when it ends: odd meanwhile."""

    def poll(self) -> None:
        """Write the counts of the last minute, once that is over."""
        if monotonic() >= self._due:
            self.write()
            self._due = monotonic() + EVERY_S

    def write(self) -> None:
        """Write the unwritten counts; after an error they remain unwritten."""
        sums = self._sums()
        more = [_more(*pair) for pair in zip(sums, self._written, strict=True)]
        if any(more):
            queues, classes = (json.dumps(rows) for rows in more)
            self.writes += 1
            try:
                self._session.fetch(STATEMENTS["add"], {"queues": queues, "classes": classes})
                self._written = sums
            finally:
                self.writes += 1
            failures.fold(self._session)
        else:
            self._written = sums

    def ended(self) -> dict[str, int]:
        """Return the numbers of ended jobs by queue that are not written; for any thread."""
        written = self._written[0]
        found = Counter[str]()
        for outcome in _ENDS:
            found.update(self._scoreboard.counted(outcome))
            at = _OUTCOMES.index(outcome)
            found.subtract({name: int(row[at]) for name, row in written.items()})
        return found

    def _sums(self) -> tuple[Sums, Sums]:
        scoreboard = self._scoreboard
        return _rows(scoreboard.by_queue()), _rows(scoreboard.by_class())


def _rows(sums: Mapping[str, Counted]) -> Sums:
    return {name: _row(counted) for name, counted in sums.items()}


def _row(counted: Counted) -> list[float]:
    waits, wait_s = counted.waits()
    runs, run_s = counted.durations()
    return [*map(counted.outcome, _OUTCOMES), wait_s, run_s, *waits, *runs]


def _more(sums: Sums, written: Sums) -> list[dict[str, object]]:
    """Return the rows that have grown, with the differences."""
    none = [0.0] * (_RUNS_AT + _BUCKETS)
    rows: list[dict[str, object]] = []
    for name, row in sums.items():
        grown = [a - b for a, b in zip(row, written.get(name, none), strict=True)]
        if any(grown):
            rows.append(
                {
                    "name": name,
                    **{each: int(grown[at]) for at, each in enumerate(_OUTCOMES)},
                    "wait_s": grown[_WAITS_AT - 2],
                    "run_s": grown[_WAITS_AT - 1],
                    "waits": list(map(int, grown[_WAITS_AT:_RUNS_AT])),
                    "runs": list(map(int, grown[_RUNS_AT:])),
                }
            )
    return rows
