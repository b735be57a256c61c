"""A scoreboard entry: the tree's facts about one process, in memory that outlives it.

A process writes to its own entry, the supervisor to the entry's state, the monitor reads all
entries. Every word has one writer at a time, and a 64-bit word is written whole: there are no
locks that a killed process could leave held. No entry goes stale either: the memory is
anonymous and ends with the tree.

The life of an entry: FREE → (the supervisor forks) TAKEN → (first tick) UP → (the supervisor
has reaped the process) DEAD → (the monitor has recovered the process) FREE. While an entry is
DEAD, the successor of its process has another one.

A worker's entry also records which jobs ran when it died, and which had ended (`running_jobs`).

Counters are never reset, not even when an entry is used again: so their sum over all entries
never goes back when a process dies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from jobsd.clock import monotonic_ns

from .counters import FAILURES, QUEUE_WORDS, QueueCounters
from .hard_limits import LIMITS_END, HardLimits
from .queue_names import CLASSES_MAX, ERRORS_MAX, OTHER, OTHERS, QUEUES_MAX, Names
from .running_jobs import CELLS, ENDED
from .web_requests import REQUESTS, index_of
from .words import Text, Word

FREE, TAKEN, UP, DEAD = range(4)

KINDS = ("supervisor", "monitor", "dispatcher", "scheduler", "worker", "hooks", "web")
REASONS = (
    *("exit", "signal", "oom", "hung", "row", "recycled", "reload", "stop", "terminated"),
    "timeout",
)
"""Why a process ended, in this order: it exited by itself, by a signal, or by an OOM kill; we
killed it because it hung, or stopped it because its row was gone, because it had reached a
limit, for a reload, or with the tree; TERM came from elsewhere; a job in it was over its time
limit and did not stop."""

_QUEUES_AT = LIMITS_END
_PAGE_WORDS = 512
_CLASSES_AT = _QUEUES_AT + (1 + QUEUES_MAX) * QUEUE_WORDS
_ERRORS_AT = _CLASSES_AT + (1 + CLASSES_MAX) * QUEUE_WORDS
_REQUESTS_AT = _ERRORS_AT + (1 + ERRORS_MAX) * len(FAILURES)
_END = _REQUESTS_AT + len(REQUESTS)
ENTRY_WORDS = -(-_END // _PAGE_WORDS) * _PAGE_WORDS

# Words of an entry.
_STATE, _PID, _STARTED, _TICK, _ROW, _KIND, _STATUS, _DIED, _REASON = range(9)
_ROW_LOST, _BUSY, _THREADS, _DROPPED, _, _RSS, _GENERATION, _UP_SINCE = range(9, 17)
_RECYCLING, _HOOKS_DONE, _LEAVING, _DATABASE_DOWN = range(17, 21)
_WORKING, _HEARTBEAT, _QUEUES, _NUMBER = range(21, 25)
# Of the words between, 25 is of `running_jobs`, 29 and 30 are of `hard_limits`.
_BUSY_COROUTINES, _COROUTINES_MOST, _CLASSES, _OUTCOMES_LOST = 26, 27, 28, 31
_NAME_AT, _NAME_WORDS = 32, 16
_ERRORS, _PRUNES, _CLAIMS_LOST, _SERVED, _KILL_AT, _TABLES_AWAITED = range(48, 54)
# Words about one process: cleared for the next one.
_PASSING = (
    *(_PID, _ROW, _STATUS, _DIED, _REASON, _ROW_LOST, _BUSY, _THREADS, _RSS, _UP_SINCE),
    *(_RECYCLING, _HOOKS_DONE, _LEAVING, _DATABASE_DOWN, _WORKING, _HEARTBEAT),
    *(_BUSY_COROUTINES, _COROUTINES_MOST, _OUTCOMES_LOST, _KILL_AT, _TABLES_AWAITED),
)


class ScoreboardEntry(HardLimits):
    """One process's part of the scoreboard."""

    __slots__ = ("_class_names", "_error_names", "_met", "_names", "index")

    def __init__(self, words: memoryview[int], index: int, names: Names) -> None:
        self.words = words
        self.index = index
        self._names, self._class_names, self._error_names = names
        self._met: dict[str, QueueCounters] = {}

    # Written by the process itself.

    row_id = Word(_ROW)
    """The id of the process's row, 0 while it is not registered. The monitor writes its own."""
    leaving = Word(_LEAVING)
    """1 once any process has asked this one to stop. Set in its signal handler."""
    database_down = Word(_DATABASE_DOWN)
    """1 while the process can't reach the database. Set under the announcement lock only."""
    tables_awaited = Word(_TABLES_AWAITED)
    """1 while the process waits for tables that it can work with."""
    working = Word(_WORKING)
    """1 once the process has registered and has polled once."""
    wants_recycling = Word(_RECYCLING)
    """1 once the process has reached a limit: it is stopped when a successor is up."""
    busy = Word(_BUSY)
    """The number of jobs that run."""
    threads = Word(_THREADS)
    """The number of jobs that may run at once, in threads or on the loop."""
    busy_coroutines = Word(_BUSY_COROUTINES)
    """The number of jobs among them that run on the loop."""
    coroutines_max = Word(_COROUTINES_MOST)
    """How many may run there, where the worker has coroutines; else 0."""
    jobs_ended = Word(ENDED)
    """The number of jobs that have ended in the process."""
    dropped_lines = Word(_DROPPED)
    """Log lines that could not be written, since the scoreboard was made."""

    claims_lost = Word(_CLAIMS_LOST)
    """Claims that the process lost before their outcomes were recorded; never reset."""
    outcomes_lost = Word(_OUTCOMES_LOST)
    """1 while the process has outcomes that it can neither record nor keep in its journal. The
    monitor sets it for a dead process."""
    prunes = Word(_PRUNES)
    """Processes of other trees that this one has pruned; never reset."""

    def tick(self) -> None:
        """Record an iteration of the main loop; the first one also records that we are up."""
        words = self.words
        words[_TICK] = now = monotonic_ns()
        if words[_STATE] == TAKEN:
            words[_UP_SINCE] = now
            words[_STATE] = UP

    def left_s(self) -> float:
        """Return the seconds until the process is killed; infinite if it has no such limit."""
        at_ns = self.kill_at_ns
        return max(0.0, (at_ns - monotonic_ns()) / 1e9) if at_ns else math.inf

    def set_threads(self, busy: int, threads: int) -> None:
        """Record how many jobs run, and how many may at once."""
        self.words[_BUSY] = busy
        self.words[_THREADS] = threads
        self.words[CELLS] = max(threads, self.words[CELLS])

    def count_dropped_lines(self, lines: int) -> None:
        """Add to the log lines that could not be written."""
        self.words[_DROPPED] += lines

    def count_request(self, path: str, status: str) -> None:
        """Count a request to the dashboard; called by one thread at a time."""
        self.words[_SERVED] = 1
        self.words[_REQUESTS_AT + index_of(path, status)] += 1

    # Written by the supervisor.

    name = Text(_NAME_AT, _NAME_WORDS)
    """The name of the process, unique in the world."""
    number = Word(_NUMBER)
    """The number of its child among those of its kind, from 1; a successor has the same."""
    kill_at_ns = Word(_KILL_AT)
    """When the process that was asked to stop is killed (monotonic); 0 while that is open."""
    pid = Word(_PID)
    """The process id. Written on both sides of the fork."""
    status = Word(_STATUS)
    """The wait status of the dead process."""
    rss_kib = Word(_RSS)
    """The largest resident size that the dead process had."""

    def take(self, kind: str, name: str, number: int = 1) -> None:
        """Prepare the entry for a new process, before the fork."""
        words = self.words
        for at in _PASSING:
            words[at] = 0
        self.clear_jobs()
        self.clear_limits()
        self.name = name
        words[_KIND] = KINDS.index(kind)
        words[_NUMBER] = number
        words[_GENERATION] += 1
        words[_STARTED] = words[_TICK] = monotonic_ns()
        words[_STATE] = TAKEN

    def record_exit(self, status: int, reason: str, rss_kib: int) -> None:
        """Record that the process was reaped; the monitor recovers its jobs."""
        words = self.words
        words[_STATUS] = status
        words[_REASON] = REASONS.index(reason)
        words[_RSS] = rss_kib
        words[_DIED] = monotonic_ns()
        words[_STATE] = DEAD

    # Written by the hooks process.

    start_hooks_done = Word(_HOOKS_DONE)
    """1 once the start hooks of the process were called."""

    # Written by the monitor.

    row_lost = Word(_ROW_LOST)
    """1 once the process's row was found deleted."""
    heartbeat_ns = Word(_HEARTBEAT)
    """The tick of the main loop (monotonic) that the process's last heartbeat reports."""

    def free(self) -> None:
        """Free the entry, once the process was recovered.

        The supervisor frees an entry itself if the fork failed, or if it must: a dead
        monitor's, if there is no other for the next monitor.
        """
        self.words[_STATE] = FREE

    # Read by all.

    ticked_ns = Word(_TICK)
    """When the main loop last ticked, monotonic."""

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
    def reason(self) -> str:
        """Why the dead process ended: one of REASONS."""
        return REASONS[self.words[_REASON]]

    @property
    def tick_age_s(self) -> float:
        """Seconds since the last tick of the main loop."""
        return (monotonic_ns() - self.words[_TICK]) / 1e9

    @property
    def age_s(self) -> float:
        """Seconds since the process was started."""
        return (monotonic_ns() - self.words[_STARTED]) / 1e9

    @property
    def up_s(self) -> float:
        """Seconds from the first tick until now, or until the exit; 0 if it never ticked."""
        up_since, died = self.words[_UP_SINCE], self.words[_DIED]
        return ((died or monotonic_ns()) - up_since) / 1e9 if up_since else 0.0

    @property
    def died_ns(self) -> int:
        """When the process was reaped (monotonic); now, if it was not."""
        return self.words[_DIED] or monotonic_ns()

    @property
    def died_s(self) -> float:
        """Seconds since the process was reaped."""
        return (monotonic_ns() - self.words[_DIED]) / 1e9

    def queue(self, name: str) -> QueueCounters:
        """Return the counters of a queue, or those of all queues beyond the tree's room.

        Called by the process itself.
        """
        if (met := self._met.get(name)) is not None:
            return met
        number = self._names.number(name)
        # There may be any number of further queues; all are counted together.
        name = OTHERS if number == OTHER else name
        if name not in self._met:
            self.words[_QUEUES] = max(self.words[_QUEUES], number + 1)
            self._met[name] = self._counters(number)
        return self._met[name]

    def queues(self) -> Iterator[QueueCounters]:
        """Yield the counters of the queues that have counts here.

        The counters after the last one are never read: reading makes memory of their pages.
        """
        for number in range(self.words[_QUEUES]):
            counters = self._counters(number)
            if any(counters.words):
                yield counters

    def queue_rows(self) -> memoryview[int]:
        """Return the rows of all queues met here, by the numbers of their names."""
        return self.words[_QUEUES_AT : _QUEUES_AT + self.words[_QUEUES] * QUEUE_WORDS]

    def class_rows(self) -> memoryview[int]:
        """Return the rows of all classes met here, by the numbers of their names."""
        return self.words[_CLASSES_AT : _CLASSES_AT + self.words[_CLASSES] * QUEUE_WORDS]

    def job_class(self, name: str) -> QueueCounters:
        """Return the counters of a class of jobs, as `queue` returns those of a queue."""
        number = self._class_names.number(name)
        self.words[_CLASSES] = max(self.words[_CLASSES], number + 1)
        return self._of_class(number)

    def classes(self) -> Iterator[QueueCounters]:
        """Yield the counters of the classes that have counts here."""
        for number in range(self.words[_CLASSES]):
            counters = self._of_class(number)
            if any(counters.words):
                yield counters

    def count_failure(self, error: str, outcome: str) -> None:
        """Count an attempt that an error of this type has ended, by one of FAILURES."""
        number = self._error_names.number(error)
        self.words[_ERRORS] = max(self.words[_ERRORS], number + 1)
        self.words[_ERRORS_AT + number * len(FAILURES) + FAILURES.index(outcome)] += 1

    def failures(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Yield the types of errors that were counted here, with the counts by outcome."""
        for number in range(self.words[_ERRORS]):
            at = _ERRORS_AT + number * len(FAILURES)
            counts = self.words[at : at + len(FAILURES)].tolist()
            if any(counts):
                yield self._error_names.name(number), dict(zip(FAILURES, counts, strict=True))

    def requests(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Yield the requests that were counted here, by page and status."""
        if self.words[_SERVED]:
            counts = self.words[_REQUESTS_AT : _REQUESTS_AT + len(REQUESTS)].tolist()
            yield from zip(REQUESTS, counts, strict=True)

    def _counters(self, number: int) -> QueueCounters:
        start = _QUEUES_AT + number * QUEUE_WORDS
        return QueueCounters(self.words[start : start + QUEUE_WORDS], self._names, number)

    def _of_class(self, number: int) -> QueueCounters:
        start = _CLASSES_AT + number * QUEUE_WORDS
        words = self.words[start : start + QUEUE_WORDS]
        return QueueCounters(words, self._class_names, number)
