"""Sums up the events of jobs that repeat: 200,000 failures are not 200,000 lines.

Of one event, job class and error, the first lines of each second are logged; at its end one
line has the number of further ones, and the beginning of that second. Nothing is lost by it:
each failure is in `attempts`, the counters count all, and hooks are called for all.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from jobsd.clock import monotonic, utc_now
from jobsd.events.event_list import Event

WriteSum = Callable[[str, dict[str, Any]], None]

LINES_MAX = 20
"""The number of lines that are logged one by one in each second."""
WINDOW_S = 1.0
KINDS_MAX = 200
"""Further combinations of event, class and error in a second share one sum."""


class _Kind(NamedTuple):
    event: str
    level: str
    class_name: str
    error_type: str


@dataclass(slots=True)
class _Count:
    logged: int = 0
    summed: int = 0


class Summing:
    """Decides which events of one process are logged; `write_sum(level, facts)` writes a sum.

    Safe from any thread. No thread waits for the lock: one that does not get it logs its line.
    """

    def __init__(self, write_sum: WriteSum) -> None:
        self._write_sum = write_sum
        self._lock = threading.Lock()
        self._counts: dict[_Kind, _Count] = {}
        self._since = utc_now()
        self._ends_at = 0.0
        self._timer: threading.Timer | None = None

    def admits(self, event: Event, facts: dict[str, Any]) -> bool:
        """Return whether an event is to be logged; it is counted otherwise."""
        if not event.name.startswith("job.") or event.level == "debug":
            return True
        if not self._lock.acquire(blocking=False):
            return True
        try:
            sums, since = self._next_window()
            admitted = self._count(event, facts)
        finally:
            self._lock.release()
        self._write_sums(sums, since)
        return admitted

    def flush(self) -> None:
        """Log the sums until now."""
        with self._lock:
            sums, since = self._begin_window()
        self._write_sums(sums, since)

    def _count(self, event: Event, facts: dict[str, Any]) -> bool:
        kind = _Kind(event.name, event.level, str(facts.get("class_name")), _error_type(facts))
        if kind not in self._counts and len(self._counts) >= KINDS_MAX:
            kind = _Kind(event.name, event.level, "", "")
        count = self._counts.setdefault(kind, _Count())
        if count.logged < LINES_MAX:
            count.logged += 1
            return True
        if self._timer is None:
            timer = threading.Timer(WINDOW_S, self.flush)
            timer.daemon = True
            try:
                timer.start()
            except (RuntimeError, MemoryError):
                # No thread can be started, so no timer would log the sum: log the line.
                return True
            self._timer = timer
        count.summed += 1
        return False

    def _next_window(self) -> tuple[dict[_Kind, _Count], datetime]:
        if monotonic() < self._ends_at:
            return {}, self._since
        return self._begin_window()

    def _begin_window(self) -> tuple[dict[_Kind, _Count], datetime]:
        counts, since = self._counts, self._since
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._counts, self._since = {}, utc_now()
        self._ends_at = monotonic() + WINDOW_S
        return counts, since

    def _write_sums(self, counts: dict[_Kind, _Count], since: datetime) -> None:
        for kind, count in counts.items():
            if count.summed:
                facts: dict[str, Any] = {"of": kind.event, "lines": count.summed}
                facts["since"] = since.isoformat()
                if kind.class_name:
                    facts["class_name"] = kind.class_name
                if kind.error_type:
                    facts["error"] = {"type": kind.error_type, "message": "", "stack": ""}
                self._write_sum(kind.level, facts)


def _error_type(facts: dict[str, Any]) -> str:
    error = facts.get("error")
    if isinstance(error, dict):
        return str(cast("dict[str, object]", error).get("type", ""))
    return type(error).__name__ if isinstance(error, BaseException) else ""
