"""The scoreboard: memory that all processes of one tree share, made before the first fork.

It has a head for the tree, which the supervisor writes, and an entry for each process.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Generator, Iterator
from dataclasses import astuple
from itertools import islice, takewhile

from jobsd.clock import monotonic_ns

from . import queue_names
from .counters import QUEUE_WORDS, Sums, column, totals
from .entry import DEAD, ENTRY_WORDS, FREE, KINDS, REASONS, TAKEN, UP, ScoreboardEntry
from .hook_line import HookLine
from .thresholds import Thresholds
from .words import Text, Word

__all__ = ["ENTRIES_MAX", "FREE", "REASONS", "TAKEN", "UP", "Scoreboard", "ScoreboardEntry"]

ENTRIES_MAX = 256
_HEAD_WORDS = 512
_NAMES_MAX = (queue_names.QUEUES_MAX, queue_names.CLASSES_MAX, queue_names.ERRORS_MAX)
_ENTRIES_AT = _HEAD_WORDS + len(_NAMES_MAX) * queue_names.NAMES_WORDS
# Nearly all of it is never touched, so no machine should refuse it for its size. (Python 3.11
# does not have this flag.)
_FLAGS = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
_THRESHOLDS_AT = slice(32, 35)
_RELOADS_AT = 40
RELOAD_OUTCOMES = ("done", "refused", "failed")
_RESTARTS_AT = 256
TABLES_LACK_SOMETHING, TABLES_OF_ANOTHER_BUILD = 1, 2
"""States of the tables that were reported. The first comes and goes with statements, so it is
reported once in the life of a tree; the second again, if our build's tables were there
meanwhile."""
_TRIES = 50
"""Tries of a millisecond each: a process may wait for a processor while it holds a lock."""


class Scoreboard:
    """The shared memory of one tree: a head, and the entries.

    The supervisor makes it before its first fork. The words of the head, with their writers:
    """

    supervisor_pid = Word(0)
    """Supervisor: its process id."""
    supervisor_row = Word(1)
    """Monitor: the id of the supervisor's row, 0 while there is none."""
    started_us = Word(2)
    """Supervisor: when it started, in microseconds since the epoch."""
    ticked_ns = Word(3)
    """Supervisor: when its loop last ticked, monotonic."""
    ready = Word(4)
    """Supervisor: 1 once all processes were up together."""
    stopping = Word(5)
    """Supervisor: 1 once the tree is to end, 2 once all workers are gone."""
    dropped_lines = Word(6)
    """Supervisor: log lines of its own that could not be written."""
    database_up = Word(7)
    """Monitor: 1 while its last statement succeeded; see `database_answers`."""
    ran_at_start = Word(8)
    """Scheduler: 1 once the tasks with `run_at_start` were enqueued; before that, negative,
    the instant chosen for these runs in microseconds since the epoch."""
    monitor_polled_ns = Word(9)
    """Monitor: when its database thread last began or ended a poll, monotonic."""
    database_seen = Word(10)
    """Any process: 1 once the database was reached."""
    outage_since_ns = Word(11)
    """The holder of the announcement lock: when the outage began, monotonic; 0 without one."""
    started_ns = Word(12)
    """Supervisor: when it started, monotonic."""
    outages = Word(13)
    """The holder of the announcement lock: how many outages have begun."""
    outage_ns = Word(14)
    """The holder of the announcement lock: the total duration of past outages."""

    journals_unread = Word(15)
    """Supervisor: 1 from the start if there are journals; monitor: 0 once it has read them.
    Workers claim no job before."""

    tables_foreign = Word(16)
    """The holder of the announcement lock: the reported state of the tables, see above."""

    everything_paused = Word(17)
    """Monitor: whether everything is paused in the database; a process that connects: 1 if it
    finds the pause."""

    reload_failed = Word(20)
    """Supervisor: 1 when the last reload was refused or has failed."""

    supervisor_name = Text(128, 16)
    """Supervisor: its name, unique in the world."""
    tree_name = Text(144, 16)
    """Supervisor: the name of the tree on its host, the same at each start."""

    hook_line: HookLine | None = None
    """The pipe to the hooks process, if there is one; set before the first fork."""

    def __init__(self) -> None:
        words = _ENTRIES_AT + ENTRIES_MAX * ENTRY_WORDS
        self._memory: memoryview[int] = memoryview(mmap.mmap(-1, words * 8, _FLAGS)).cast("q")
        self.words: memoryview[int] = self._memory[:_HEAD_WORDS]
        names = queue_names.Names(*map(self._names, range(len(_NAMES_MAX)), _NAMES_MAX))
        self.queue_names, self.class_names = names.queues, names.classes
        self.entries = [
            ScoreboardEntry(self._entry_words(index), index, names)
            for index in range(ENTRIES_MAX)
        ]
        self._lock = os.memfd_create("jobsd lock")
        weakref.finalize(self, os.close, self._lock).atexit = False

    def _names(self, index: int, most: int) -> queue_names.QueueNames:
        start = _HEAD_WORDS + index * queue_names.NAMES_WORDS
        return queue_names.QueueNames(
            self._memory[start : start + queue_names.NAMES_WORDS], most
        )

    def _entry_words(self, index: int) -> memoryview[int]:
        start = _ENTRIES_AT + index * ENTRY_WORDS
        return self._memory[start : start + ENTRY_WORDS]

    @property
    def database_answers(self) -> bool:
        """Whether no process misses the database; the monitor alone checks it seldom."""
        return bool(self.database_up and not self.outage_since_ns)

    @property
    def tables_are_foreign(self) -> bool:
        """Whether the tree waits, since another build has made the tables."""
        return self.tables_foreign == TABLES_OF_ANOTHER_BUILD

    @property
    def thresholds(self) -> Thresholds:
        """The times by which processes of the tree are judged. Written by the supervisor."""
        return Thresholds(*(word / 1e6 for word in self.words[_THRESHOLDS_AT]))

    @thresholds.setter
    def thresholds(self, thresholds: Thresholds) -> None:
        for at, seconds in enumerate(astuple(thresholds), _THRESHOLDS_AT.start):
            self.words[at] = round(seconds * 1e6)

    def free_entry(self, spare: int = 0) -> ScoreboardEntry | None:
        """Return the first free entry, or None if it would not leave `spare` others free.

        Invariant: the first one, since `used` ends at the first one that was never used.
        """
        free = (entry for entry in self.entries if entry.state == FREE)
        first = next(free, None)
        return first if len(list(islice(free, spare))) == spare else None

    def used(self) -> Iterator[ScoreboardEntry]:
        """Yield the entries that ever had a process: always the first ones.

        The others are never read: reading makes memory of their pages, 1 MiB for their states
        and 128 MiB for all.
        """
        return takewhile(lambda entry: entry.was_used, self.entries)

    def living(self) -> list[ScoreboardEntry]:
        """Return the entries of processes that have not been reaped."""
        return [entry for entry in self.used() if entry.state in {TAKEN, UP}]

    def dead(self) -> list[ScoreboardEntry]:
        """Return the entries of dead processes that the monitor has not recovered yet."""
        return [entry for entry in self.used() if entry.state == DEAD]

    def counted(self, outcome: str) -> dict[str, int]:
        """Return the number of jobs that all processes have counted for an outcome, by queue.

        The entry of all queues beyond the room for names exists only if it has counts.
        """
        rows = [entry.queue_rows() for entry in self.used()]
        counts = dict(enumerate(column(rows, outcome)))
        if not any(any(row[:QUEUE_WORDS]) for row in rows):
            counts.pop(queue_names.OTHER, None)
        return {self.queue_names.name(number): count for number, count in counts.items()}

    def by_queue(self) -> dict[str, Sums]:
        """Return the counts of all processes, by queue."""
        return totals([entry.queue_rows() for entry in self.used()], self.queue_names)

    def by_class(self) -> dict[str, Sums]:
        """Return the counts of all processes, by class."""
        return totals([entry.class_rows() for entry in self.used()], self.class_names)

    @contextlib.contextmanager
    def announcing(self) -> Generator[None]:
        """Hold the lock under which one process reports an outage for the whole tree.

        The kernel takes it from a process that dies. A process that is stopped may keep it, so
        others wait for a twentieth of a second and continue without it: an outage that is
        reported twice is better than one that is never reported.
        """
        tries = 0
        while not self._try_lock() and tries < _TRIES:
            time.sleep(0.001)
            tries += 1
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def tick(self) -> None:
        """Record an iteration of the supervisor's loop."""
        self.ticked_ns = monotonic_ns()

    @property
    def tick_age_s(self) -> float:
        """Seconds since the last tick of the supervisor's loop."""
        return (monotonic_ns() - self.ticked_ns) / 1e9

    def restarts(self) -> Iterator[tuple[str, str, int]]:
        """Yield kind, reason and number of the processes that were replaced."""
        for i, kind in enumerate(KINDS):
            for j, reason in enumerate(REASONS):
                count = self.words[_RESTARTS_AT + i * len(REASONS) + j]
                if count:
                    yield kind, reason, count

    def count_restart(self, kind: str, reason: str) -> None:
        """Add a process that was replaced. Called by the supervisor."""
        at = KINDS.index(kind) * len(REASONS) + REASONS.index(reason)
        self.words[_RESTARTS_AT + at] += 1

    def reloads(self) -> dict[str, int]:
        """Return the number of reloads, by their outcome."""
        return {
            outcome: self.words[at] for at, outcome in enumerate(RELOAD_OUTCOMES, _RELOADS_AT)
        }

    def count_reload(self, outcome: str) -> None:
        """Add a reload. Called by the supervisor."""
        self.words[_RELOADS_AT + RELOAD_OUTCOMES.index(outcome)] += 1
        self.reload_failed = outcome != "done"
