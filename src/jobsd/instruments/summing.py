"""Sums up what is told of jobs again and again: 200,000 failures are not as many lines.

Of each event of a class by one error, the first lines of each second are told, and how many
more there were at its end, with when that second began. Nothing is lost by it: each failure
is in `attempts`, counters count all, and hooks hear all.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jobsd.clock import monotonic, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .event_list import Event

    Tell = Callable[[str, dict[str, Any]], None]

LINES_MAX = 20
"""Told one by one in each second."""
WINDOW_S = 1.0
KINDS_MAX = 200
"""Of more events, classes and errors in one second, all others are summed up together."""


class _Kind(NamedTuple):
    event: str
    level: str
    class_name: str
    error_type: str


@dataclass(slots=True)
class _Count:
    told: int = 0
    summed: int = 0


class Summing:
    """Judges the events of one process; `tell(level, facts)` writes a sum.

    Safe from any thread. Nobody waits for its lock: who does not get it tells its line.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._counts: dict[_Kind, _Count] = {}
        self._since = utc_now()
        self._ends_at = 0.0
        self._timer: threading.Timer | None = None

    def admits(self, event: Event, facts: dict[str, Any]) -> bool:
        """Return whether an event is told, which is counted otherwise."""
        if not event.name.startswith("job.") or event.level == "debug":
            return True
        if not self._lock.acquire(blocking=False):
            return True
        try:
            sums, since = self._turn_over()
            admitted = self._count(event, facts)
        finally:
            self._lock.release()
        self._tell_sums(sums, since)
        return admitted

    def flush(self) -> None:
        """Tell what was summed up until now."""
        with self._lock:
            sums, since = self._begin_anew()
        self._tell_sums(sums, since)

    def _count(self, event: Event, facts: dict[str, Any]) -> bool:
        kind = _Kind(event.name, event.level, str(facts.get("class_name")), _error_type(facts))
        if kind not in self._counts and len(self._counts) >= KINDS_MAX:
            kind = _Kind(event.name, event.level, "", "")
        count = self._counts.setdefault(kind, _Count())
        if count.told < LINES_MAX:
            count.told += 1
            return True
        if self._timer is None:
            timer = threading.Timer(WINDOW_S, self.flush)
            timer.daemon = True
            try:
                timer.start()
            except (RuntimeError, MemoryError):
                # No thread is to be had: what nobody would sum up is told.
                return True
            self._timer = timer
        count.summed += 1
        return False

    def _turn_over(self) -> tuple[dict[_Kind, _Count], datetime]:
        if monotonic() < self._ends_at:
            return {}, self._since
        return self._begin_anew()

    def _begin_anew(self) -> tuple[dict[_Kind, _Count], datetime]:
        counts, since = self._counts, self._since
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._counts, self._since = {}, utc_now()
        self._ends_at = monotonic() + WINDOW_S
        return counts, since

    def _tell_sums(self, counts: dict[_Kind, _Count], since: datetime) -> None:
        for kind, count in counts.items():
            if count.summed:
                facts: dict[str, Any] = {"of": kind.event, "lines": count.summed}
                facts["since"] = since.isoformat()
                if kind.class_name:
                    facts["class_name"] = kind.class_name
                if kind.error_type:
                    facts["error"] = {"type": kind.error_type, "message": "", "stack": ""}
                self._tell(kind.level, facts)


def _error_type(facts: dict[str, Any]) -> str:
    error = facts.get("error")
    if isinstance(error, dict):
        return str(cast("dict[str, object]", error).get("type", ""))
    return type(error).__name__ if isinstance(error, BaseException) else ""
