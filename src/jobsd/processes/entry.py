"""The memory that all processes of one tree share, made before the first fork.

A `Scoreboard` has a head for the tree and one `ScoreboardEntry` for each process. A process
writes to its own entry, the supervisor to the head and to the entries' states, the monitor
reads all. Every word has one writer at a time, and a 64-bit word is written whole: there are
no locks, and nothing that a killed process could leave held. Nothing goes stale either: the
memory is anonymous and ends with the tree.

The life of an entry: FREE → (supervisor forks) TAKEN → (first tick) UP → (supervisor has
reaped the process) DEAD → (monitor has written the death to the database) FREE. While
an entry is DEAD, its successor lives in another one.

A worker's entry tells what ran when it died, and what had ended (`runs`).

Counters are never reset, not even when an entry is used again: their sum over all entries
never goes back, whoever dies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic_ns

from .counters import QUEUE_WORDS, QueueCounters, read_text, write_text
from .queue_names import QUEUES_MAX
from .runs import ENDED, ENDINGS_AT, RUNS_AT, RUNS_END, Runs
from .words import Word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .queue_names import QueueNames

FREE, TAKEN, UP, DEAD = range(4)

KINDS = ("supervisor", "monitor", "dispatcher", "scheduler", "worker", "hooks")
REASONS = ("exit", "signal", "oom", "hung", "row", "recycled", "reload", "stop", "terminated")
"""Why a process ended: by itself, by a signal, by the kernel for memory, by us because it
hung, because its row was gone, because it had done enough, for a reload, for the end;
because somebody else has told it to."""

_QUEUES_AT = RUNS_END
_PAGE_WORDS = 512
ENTRY_WORDS = -(-(_QUEUES_AT + (1 + QUEUES_MAX) * QUEUE_WORDS) // _PAGE_WORDS) * _PAGE_WORDS
_NAME_AT = 32

# Words of an entry.
_STATE, _PID, _STARTED, _TICK, _ROW, _KIND, _STATUS, _DIED, _REASON = range(9)
_FLAGS, _BUSY, _THREADS, _DROPPED, _, _RSS, _GENERATION, _UP_SINCE = range(9, 17)
_RECYCLE, _START_HOOKS_DONE, _LEAVING, _DATABASE_DOWN, _WORKING, _HEARTBEAT, _ROWS, _NUMBER = (
    range(17, 25)
)
# Of one process: cleared for the next.
_PASSING = (
    *(_PID, _ROW, _STATUS, _DIED, _REASON, _FLAGS, _BUSY, _THREADS, _RSS, _UP_SINCE),
    *(_RECYCLE, _START_HOOKS_DONE, _LEAVING, _DATABASE_DOWN, _WORKING, _HEARTBEAT),
)
_ROW_LOST = 1


class ScoreboardEntry(Runs):
    """One process's part of the scoreboard."""

    __slots__ = ("_names", "index")

    def __init__(self, words: memoryview[int], index: int, names: QueueNames) -> None:
        self.words = words
        self.index = index
        self._names = names

    # What the process itself writes.

    def tick(self) -> None:
        """Say that the main loop has come round; the first time also that we are up."""
        words = self.words
        words[_TICK] = now = monotonic_ns()
        if words[_STATE] == TAKEN:
            words[_UP_SINCE] = now
            words[_STATE] = UP

    def set_threads(self, busy: int, threads: int) -> None:
        """Say how many threads there are, and how many run a job."""
        self.words[_BUSY] = busy
        self.words[_THREADS] = threads

    def set_row(self, row_id: int) -> None:
        """Say under which id the process is registered; 0 when it is not."""
        self.words[_ROW] = row_id

    def count_dropped_lines(self, lines: int) -> None:
        """Add to the log lines that could not be written."""
        self.words[_DROPPED] += lines

    def ask_to_be_recycled(self) -> None:
        """Ask for a successor: the process is stopped once that is up."""
        self.words[_RECYCLE] = 1

    leaving = Word(_LEAVING)
    """1 once the process was told to end, by whomever. Set in its signal handler."""
    database_down = Word(_DATABASE_DOWN)
    """1 while the process can't reach the database. Set under the announcement lock only."""
    working = Word(_WORKING)
    """1 once the process is registered and has done a round of its work."""

    # What the supervisor writes.

    def take(self, kind: str, name: str, number: int = 1) -> None:
        """Prepare the entry for a new process, before the fork; `number` counts in its kind."""
        words = self.words
        for at in (*_PASSING, *range(RUNS_AT, ENDINGS_AT)):
            words[at] = 0
        words[ENDED] = 0
        write_text(words, _NAME_AT, name, 16)
        words[_KIND] = KINDS.index(kind)
        words[_NUMBER] = number
        words[_GENERATION] += 1
        words[_STARTED] = words[_TICK] = monotonic_ns()
        words[_STATE] = TAKEN

    def set_pid(self, pid: int) -> None:
        """Say which process has the entry. Written by both sides of the fork."""
        self.words[_PID] = pid

    def record_exit(self, status: int, reason: str, rss_kib: int) -> None:
        """Say that the process was reaped, with its wait status; the monitor writes it down."""
        words = self.words
        words[_STATUS] = status
        words[_REASON] = REASONS.index(reason)
        words[_RSS] = rss_kib
        words[_DIED] = monotonic_ns()
        words[_STATE] = DEAD

    start_hooks_done = Word(_START_HOOKS_DONE)
    """Hooks process: 1 once the hooks of the process's start were called."""

    # What the monitor writes.

    def free(self) -> None:
        """Give the entry back, after the death was written to the database.

        The supervisor gives one back itself when the fork failed, or when it must: a dead
        monitor's, if there is no other for the next monitor.
        """
        self.words[_STATE] = FREE

    def lose_row(self) -> None:
        """Say that the process's row was deleted by someone else."""
        self.words[_FLAGS] |= _ROW_LOST

    heartbeat_ns = Word(_HEARTBEAT)
    """Of which round of the main loop (monotonic) the process's row is known to tell."""

    # What everybody may read.

    @property
    def state(self) -> int:
        """FREE, TAKEN, UP or DEAD."""
        return self.words[_STATE]

    @property
    def was_used(self) -> bool:
        """Whether any process ever had the entry."""
        return self.words[_GENERATION] > 0

    @property
    def kind(self) -> str:
        """The kind of the process."""
        return KINDS[self.words[_KIND]]

    @property
    def name(self) -> str:
        """The name of the process, unique in the world."""
        return read_text(self.words, _NAME_AT, 16)

    number = Word(_NUMBER)
    """Its number among the children of its kind, from 1; a successor has the same."""
    pid = Word(_PID)
    """The process id."""
    row_id = Word(_ROW)
    """The id of the process's row, 0 while it is not registered."""
    ticked_ns = Word(_TICK)
    """When the main loop last came round, monotonic."""

    @property
    def tick_age_s(self) -> float:
        """Seconds since the main loop last came round."""
        return (monotonic_ns() - self.words[_TICK]) / 1e9

    @property
    def age_s(self) -> float:
        """Seconds since the process was started."""
        return (monotonic_ns() - self.words[_STARTED]) / 1e9

    @property
    def up_s(self) -> float:
        """Seconds from the first tick until now, or until the death; 0 if it never ticked."""
        up_since, died = self.words[_UP_SINCE], self.words[_DIED]
        return ((died or monotonic_ns()) - up_since) / 1e9 if up_since else 0.0

    @property
    def died_s(self) -> float:
        """Seconds since the process was reaped."""
        return (monotonic_ns() - self.words[_DIED]) / 1e9

    status = Word(_STATUS)
    """The wait status of the dead process."""

    @property
    def reason(self) -> str:
        """Why the dead process ended: one of REASONS."""
        return REASONS[self.words[_REASON]]

    rss_kib = Word(_RSS)
    """The largest resident size that the dead process had."""

    @property
    def row_lost(self) -> bool:
        """Whether the process's row was deleted by someone else."""
        return bool(self.words[_FLAGS] & _ROW_LOST)

    wants_recycling = Word(_RECYCLE)
    """1 once the process has reached a limit and is to be replaced."""
    jobs_ended = Word(ENDED)
    """How many jobs have ended in the process."""
    busy = Word(_BUSY)
    """How many threads run a job."""
    threads = Word(_THREADS)
    """How many threads there are for jobs."""
    dropped_lines = Word(_DROPPED)
    """Log lines that could not be written, since the scoreboard was made."""

    def queue(self, name: str) -> QueueCounters:
        """Return the counters of a queue, or of all for which the tree has no room.

        Called by the process itself.
        """
        number = self._names.number(name)
        self.words[_ROWS] = max(self.words[_ROWS], number + 1)
        return self._counters(number)

    def queues(self) -> Iterator[QueueCounters]:
        """Yield the counters of the queues of which something was counted here.

        Those behind the last one are not even looked at: a look makes memory of their pages.
        """
        for number in range(self.words[_ROWS]):
            counters = self._counters(number)
            if any(counters.words):
                yield counters

    def _counters(self, number: int) -> QueueCounters:
        start = _QUEUES_AT + number * QUEUE_WORDS
        return QueueCounters(self.words[start : start + QUEUE_WORDS], self._names, number)
