"""Collects what running jobs print and log, for `keep_log`.

Each attempt that runs has a log of its own, found by the job that its thread or task is in. Of
one that says much, its first lines and its last stay. The control thread takes what has
changed, and writes it once a second at most.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from . import bound_job, error_facts, layouts, redaction

TRIES_MAX = 5
"""So often a log is written anew whose job somebody holds locked, or has removed."""


class KeptLog:
    """The log of one attempt, of at most `most` bytes: its first lines, and its last."""

    def __init__(self, job_id: int, attempt: int, most: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.began = datetime.now(UTC)
        self.depth = 0
        self.tries = 0
        self._half = most // 2
        self._first: list[str] = []
        self._last: deque[tuple[str, int]] = deque()
        self._sizes = [0, 0]
        self._left_out = 0

    def add(self, line: str) -> None:
        """Add a line; one that is too long is cut, so that lines after it leave some of it."""
        # A character takes a byte at least; one of our own for its end.
        if len(line) > self._half // 4:
            line = line[: self._half // 4] + "…"
        size = len(line.encode("utf-8", "backslashreplace")) + 1
        if not self._last and self._sizes[0] + size <= self._half:
            self._first.append(line)
            self._sizes[0] += size
            return
        self._last.append((line, size))
        self._sizes[1] += size
        while self._sizes[1] > self._half and len(self._last) > 1:
            self._sizes[1] -= self._last.popleft()[1]
            self._left_out += 1

    def text(self) -> str:
        """Return the lines, and between first and last ones how many were left out."""
        gap = [f"… {self._left_out} lines left out …"] if self._left_out else []
        return "\n".join([*self._first, *gap, *(line for line, _ in self._last)])


class Kept:
    """The logs of the jobs of one process."""

    def __init__(self) -> None:
        self.most = 0
        """Bytes that are kept of each attempt; 0: nothing is."""
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], KeptLog] = {}
        self._unwritten: dict[KeptLog, None] = {}
        self._wake: Callable[[], None] = lambda: None

    def __bool__(self) -> bool:
        """Say whether something was not written yet."""
        return bool(self._unwritten)

    def keep(self, most: int | None) -> None:
        """Keep so many bytes of each attempt from now on; None: nothing."""
        self.most = most or 0

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Say how the thread that writes is woken."""
        self._wake = wake

    def begin(self, job: bound_job.Bound) -> None:
        """Take note that a job begins here; one that is performed within it belongs to it."""
        if job.id:
            key = job.id, job.attempt
            with self._lock:
                log = self._open.get(key)
                if log is None:
                    log = self._open[key] = KeptLog(*key, self.most)
                log.depth += 1

    def end(self, job: bound_job.Bound) -> None:
        """Take note that it has ended: what its threads say later is nobody's."""
        key = job.id, job.attempt
        with self._lock:
            if (log := self._open.get(key)) is not None:
                log.depth -= 1
                if not log.depth:
                    del self._open[key]

    def say(self, text: str, job_id: int | None = None) -> None:
        """Add what the job has printed that runs here, or that has this id."""
        if not self.most:
            return
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" {text}"
        line = redaction.redact(line).replace("\0", "�")
        with self._lock:
            log = self._find(job_id)
            if log is None:
                return
            log.add(line)
            first = not self._unwritten
            self._unwritten[log] = None
        if first:
            self._wake()

    def say_facts(self, level: str, logger: str, record: Mapping[str, Any]) -> None:
        """Add what it has logged."""
        if not self.most or bound_job.running_job.get() is None:
            return
        facts = dict(record)
        level, logger = facts.pop("level", level), facts.pop("logger", logger)
        event = layouts.shown(facts.pop("event", ""))
        error_facts.normalize_error(facts)
        self.say(f"{level.upper()} {logger}: {layouts.sentence(event, facts)}")

    def take(self) -> dict[KeptLog, str]:
        """Return the logs that have changed since the last call."""
        with self._lock:
            logs, self._unwritten = self._unwritten, {}
            return {log: log.text() for log in logs}

    def put_back(self, logs: Collection[KeptLog]) -> None:
        """Leave logs that could not be written for the next call, but for hopeless ones."""
        with self._lock:
            for log in logs:
                log.tries += 1
                if log.tries < TRIES_MAX:
                    self._unwritten[log] = None

    def _find(self, job_id: int | None) -> KeptLog | None:
        if job_id is not None:
            return next((log for key, log in self._open.items() if key[0] == job_id), None)
        job = bound_job.running_job.get()
        return None if job is None else self._open.get((job.id, job.attempt))


KEPT = Kept()
"""Those of this process."""
