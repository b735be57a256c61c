"""Counters of the jobs of each queue and class, in shared memory that outlives the process.

Each has a row of 64-bit words: a count for each outcome, and two histograms. One process at a
time writes a row; the monitor sums the rows of all entries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from operator import add
from typing import Generic, TypeAlias, TypeVar

from .queue_names import QueueNames

Words = TypeVar("Words", bound="Sequence[int]")

OUTCOMES = ("finished", "failed", "retried", "discarded", "released")
FAILURES = ("failed", "retried")
"""The outcomes of an attempt that an error has ended, which are counted by its type too."""
EVENTS = ("timed_out_soft", "timed_out_hard", "cancelled", "expired")
"""Further counts of jobs, beside their outcomes."""
BUCKETS_S = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0)

QUEUE_WORDS = 40
_WORD_MAX = 2**63 - 1
_HISTOGRAM_WORDS = len(BUCKETS_S) + 2  # one for +Inf, one for the sum in nanoseconds
_SUM = len(BUCKETS_S) + 1
_RUN_AT = len(OUTCOMES)
_WAIT_AT = _RUN_AT + _HISTOGRAM_WORDS
_EVENTS_AT = _WAIT_AT + _HISTOGRAM_WORDS
_AT = {
    **{name: at for at, name in enumerate(OUTCOMES)},
    **{name: at for at, name in enumerate(EVENTS, _EVENTS_AT)},
}


class Counts(Generic[Words]):
    """The outcomes and durations of a set of jobs: of one row, or of a sum of rows."""

    __slots__ = ("words",)

    def __init__(self, words: Words) -> None:
        self.words = words

    def outcome(self, outcome: str) -> int:
        """Return the count of one of OUTCOMES or EVENTS."""
        return self.words[_AT[outcome]]

    def durations(self) -> tuple[list[int], float]:
        """Return the run times: counts by bucket (+Inf last) and their sum in s."""
        return self._histogram(_RUN_AT)

    def waits(self) -> tuple[list[int], float]:
        """Return the waits, in the same form."""
        return self._histogram(_WAIT_AT)

    def _histogram(self, at: int) -> tuple[list[int], float]:
        end = at + _SUM
        return list(self.words[at:end]), self.words[end] / 1e9


def column(parts: Iterable[memoryview[int]], outcome: str) -> list[int]:
    """Return the sums of one count, row by row; each part has all rows of one process."""
    counts = (part[_AT[outcome] :: QUEUE_WORDS].tolist() for part in parts)
    return list(map(sum, zip_longest(*counts, fillvalue=0)))


def totals(parts: Iterable[memoryview[int]], names: QueueNames) -> dict[str, Sums]:
    """Return the sums of the rows of a set of processes, by name, without empty ones.

    Each part has all rows of one process: a name has the same row in all of them, so they are
    added as wholes. Row by row, a thousand queues took five times as long.
    """
    words = list(map(sum, zip_longest(*[part.tolist() for part in parts], fillvalue=0)))
    found: dict[str, list[int]] = {}
    for number, start in enumerate(range(0, len(words), QUEUE_WORDS)):
        row = words[start : start + QUEUE_WORDS]
        if any(row):
            # Names that are too long for the memory may be equal once they are cut off.
            name = names.name(number)
            found[name] = list(map(add, row, found[name])) if name in found else row
    return {name: Counts(row) for name, row in sorted(found.items())}


Sums: TypeAlias = "Counts[list[int]]"


class QueueCounters(Counts["memoryview[int]"]):
    """The counters of one queue's jobs in one entry."""

    __slots__ = ("_names", "_number")

    def __init__(self, words: memoryview[int], names: QueueNames, number: int) -> None:
        super().__init__(words)
        self._names = names
        self._number = number

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._names.name(self._number)

    def count(self, outcome: str, jobs: int = 1) -> None:
        """Add to one of OUTCOMES or EVENTS."""
        self.words[_AT[outcome]] += jobs

    def count_run(self, outcome: str, wait_s: float, run_s: float) -> None:
        """Add a run: its outcome, unless it snoozed, its wait before it, and its duration."""
        words = self.words
        if outcome in _AT:
            words[_AT[outcome]] += 1
        for at, seconds in ((_WAIT_AT, wait_s), (_RUN_AT, run_s)):
            words[at + bisect_left(BUCKETS_S, seconds)] += 1
            _add_s(words, at + _SUM, seconds)

    def observe(
        self,
        *,
        waits_s: Iterable[float],
        runs_s: Iterable[float],
        also: QueueCounters | None = None,
    ) -> None:
        """Add the waits (from due to start) and the runs of several jobs, here and in `also`.

        A batch of 500 is sorted and counted in a sixth of the time of 500 single jobs.
        """
        rows = [self.words] if also is None else [self.words, also.words]
        _observe(rows, _WAIT_AT, sorted(waits_s))
        _observe(rows, _RUN_AT, sorted(runs_s))


def _observe(rows: list[memoryview[int]], at: int, seconds: list[float]) -> None:
    """Count durations, in ascending order, in each of the rows."""
    counted = 0
    while counted < len(seconds):
        bucket = bisect_left(BUCKETS_S, seconds[counted])
        held = BUCKETS_S[bucket] if bucket < len(BUCKETS_S) else float("inf")
        upto = bisect_right(seconds, held, counted)
        for words in rows:
            words[at + bucket] += upto - counted
        counted = upto
    for words in rows:
        _add_s(words, at + _SUM, sum(seconds))


def _add_s(words: memoryview[int], at: int, seconds: float) -> None:
    """Add to a sum. The wait of a job that was due in the year 1 is too long for a word."""
    try:
        words[at] += int(seconds * 1e9)
    except (OverflowError, ValueError):
        words[at] = _WORD_MAX
