"""Collects the printed and logged lines of running jobs, for `keep_log`.

Each running attempt has a log of its own, found by the job of the current thread or task. Of a
long log, the first lines and the last ones stay. A log is stored in pieces, each of them once.
Only the row that counts the lines that were left out is written again, and the oldest pieces of
the last lines are removed.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from jobsd.events import bound_job, error_facts

from . import layouts, redaction

TRIES_MAX = 5
"""How often a log is tried again if its job is locked or deleted."""
UNWRITTEN_MAX = 32 * 2**20
"""Beyond this number of bytes, which a slow database has not stored yet, lines are left out."""
REMOVED_MAX = 1000
"""The number of pieces that are removed at once."""
PIECES = 8
"""A piece is at most this part of the first lines, or of the last ones."""


@dataclass(slots=True)
class _Lines:
    """Some lines of a log that are or were stored together."""

    number: int
    lines: list[str] = field(default_factory=list[str])
    size: int = 0
    count: int = 0
    is_sent: bool = False

    def add(self, line: str, size: int) -> None:
        self.lines.append(line)
        self.size += size
        self.count += 1


class KeptLog:
    """The log of one attempt, of at most `most` bytes: its first lines, and its last."""

    def __init__(self, job_id: int, attempt: int, most: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.began = datetime.now(UTC)
        self.depth = 0
        self.tries = 0
        self.removed: list[int] = []
        """The numbers of the pieces that were sent to be stored and must be removed."""
        self.unwritten = 0
        """The number of its bytes that are not known to be stored."""
        self._half = most // 2
        self._numbers = itertools.count()
        self._first: deque[_Lines] = deque()
        self._first_size = 0
        self._last: deque[_Lines] = deque()
        self._last_size = 0
        self._gap: int | None = None
        """The number of the row with the count of left-out lines, once the last lines begin."""
        self._left_out = self._left_out_stored = 0

    def add(self, line: str) -> None:
        """Add a line; a long line is cut, so that the lines after it leave some of it."""
        # A character takes at least one byte; our own one marks the cut.
        if len(line) > self._half // 4:
            line = line[: self._half // 4] + "…"
        size = len(line.encode("utf-8", "backslashreplace")) + 1
        if self._gap is None and self._first_size + size <= self._half:
            self._append(self._first, line, size)
            self._first_size += size
            return
        self._begin_last()
        self._append(self._last, line, size)
        self._last_size += size
        while self._last_size > self._half and len(self._last) > 1:
            oldest = self._last.popleft()
            self._last_size -= oldest.size
            self._left_out += oldest.count
            self.unwritten -= oldest.size if oldest.lines else 0
            if oldest.is_sent:
                self.removed.append(oldest.number)

    def leave_out(self) -> None:
        """Count a line that is not kept."""
        self._begin_last()
        self._left_out += 1

    def _begin_last(self) -> None:
        if self._gap is None:
            self._gap = next(self._numbers)

    def _append(self, to: deque[_Lines], line: str, size: int) -> None:
        if not to or to[-1].is_sent or to[-1].size + size > self._half // PIECES:
            to.append(_Lines(next(self._numbers)))
        to[-1].add(line, size)
        self.unwritten += size

    @property
    def has_more(self) -> bool:
        """Whether it has changes to store."""
        return bool(self.removed or self._left_out != self._left_out_stored or self.unwritten)

    def pieces(self) -> Iterator["Piece"]:
        """Yield the pieces to store, in order; a yielded piece gets no more lines."""
        for each in (*self._first, None, *self._last):
            if each is None:
                if self._gap is not None and self._left_out != self._left_out_stored:
                    text = f"… {self._left_out} lines left out …"
                    yield Piece(self, self._gap, text, self._left_out)
            elif each.lines:
                each.is_sent = True
                yield Piece(self, each.number, "\n".join(each.lines))

    def was_written(self, piece: "Piece") -> None:
        """Release the lines of a piece that was stored."""
        self.tries = 0
        if piece.number == self._gap:
            self._left_out_stored = piece.left_out
            return
        for each in (*self._first, *self._last):
            if each.number == piece.number and each.lines:
                each.lines = []
                self.unwritten -= each.size
        while self._first and not self._first[0].lines:
            self._first.popleft()

    def give_up(self) -> None:
        """Drop the lines until now instead of storing them."""
        self._first.clear()
        self._last.clear()
        self.removed.clear()
        self._last_size = self.unwritten = 0
        self._left_out_stored = self._left_out


class Piece(NamedTuple):
    """One row of a log: some lines, or the number of left-out ones; its number is its key."""

    log: KeptLog
    number: int
    text: str
    left_out: int = 0

    @property
    def at(self) -> datetime:
        """The time in its row, which stands for its number."""
        return moment(self.log, self.number)


def moment(log: KeptLog, number: int) -> datetime:
    """Return the time that identifies a row of a log; times are in the order of the text."""
    return log.began + timedelta(microseconds=number)


class Kept:
    """The logs of the jobs of one process."""

    def __init__(self) -> None:
        self.most = 0
        """The number of bytes that are kept of each attempt; 0: no logs are kept."""
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], KeptLog] = {}
        self._unwritten: dict[KeptLog, None] = {}
        self._size = 0

    def __bool__(self) -> bool:
        """Return whether some lines are not stored yet."""
        return bool(self._unwritten)

    def keep(self, most: int | None) -> None:
        """Keep this number of bytes of each attempt from now on; None: keep no logs."""
        self.most = most or 0

    def begin(self, job: bound_job.Bound) -> None:
        """Begin the log of a job; a job that is performed within it belongs to it."""
        if job.id:
            key = job.id, job.attempt
            with self._lock:
                log = self._open.get(key)
                if log is None:
                    log = self._open[key] = KeptLog(*key, self.most)
                log.depth += 1

    def end(self, job: bound_job.Bound) -> None:
        """End the log of a job: later lines of its threads belong to no log."""
        key = job.id, job.attempt
        with self._lock:
            if (log := self._open.get(key)) is not None:
                log.depth -= 1
                if not log.depth:
                    del self._open[key]

    def say(self, text: str, job_id: int | None = None) -> None:
        """Add a printed line of the job that runs here, or that has this id."""
        if not self.most:
            return
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" {text}"
        line = redaction.redact(line).replace("\0", "�")
        with self._lock:
            log = self._find(job_id)
            if log is None:
                return
            before = log.unwritten
            if self._size < UNWRITTEN_MAX:
                log.add(line)
            else:
                log.leave_out()
            self._size += log.unwritten - before
            self._unwritten[log] = None

    def say_facts(self, level: str, logger: str, record: Mapping[str, Any]) -> None:
        """Add a logged line of the job."""
        if not self.most or bound_job.running_job.get() is None:
            return
        facts = dict(record)
        level, logger = facts.pop("level", level), facts.pop("logger", logger)
        event = layouts.shown(facts.pop("event", ""))
        error_facts.normalize_error(facts)
        self.say(f"{level.upper()} {logger}: {layouts.sentence(event, facts)}")

    def take(self, most: int) -> tuple[list[Piece], list[tuple[KeptLog, int]]]:
        """Return the next pieces to store, and the pieces to remove, by log and number.

        The pieces come to `most` bytes at most, or are one.
        """
        pieces: list[Piece] = []
        removed: list[tuple[KeptLog, int]] = []
        size = 0
        with self._lock:
            for log in self._unwritten:
                removed += [
                    (log, number) for number in log.removed[: REMOVED_MAX - len(removed)]
                ]
                for piece in log.pieces():
                    size += len(piece.text.encode("utf-8", "backslashreplace"))
                    if pieces and size > most:
                        return pieces, removed
                    pieces.append(piece)
        return pieces, removed

    def settle(
        self, written: Collection[Piece], removed: Collection[tuple[KeptLog, int]]
    ) -> None:
        """Update the logs after pieces were stored or removed."""
        with self._lock:
            for piece in written:
                self._change(piece.log, partial(KeptLog.was_written, piece=piece))
            for log, number in removed:
                if number in log.removed:
                    log.removed.remove(number)
            for log in {*(piece.log for piece in written), *(log for log, _ in removed)}:
                if not log.has_more:
                    self._unwritten.pop(log, None)

    def put_back(self, logs: Collection[KeptLog]) -> None:
        """Requeue logs that could not be stored: they are tried again, `TRIES_MAX` times."""
        with self._lock:
            for log in logs:
                log.tries += 1
                self._unwritten.pop(log, None)
                if log.tries < TRIES_MAX:
                    self._unwritten[log] = None
                else:
                    self._change(log, KeptLog.give_up)

    def forget(self) -> None:
        """Drop unstored lines."""
        with self._lock:
            self._unwritten.clear()
            self._size = 0

    def _change(self, log: KeptLog, change: Callable[[KeptLog], None]) -> None:
        before = log.unwritten
        change(log)
        self._size += log.unwritten - before

    def _find(self, job_id: int | None) -> KeptLog | None:
        if job_id is not None:
            return next((log for key, log in self._open.items() if key[0] == job_id), None)
        job = bound_job.running_job.get()
        return None if job is None else self._open.get((job.id, job.attempt))


KEPT = Kept()
"""The logs of this process."""
