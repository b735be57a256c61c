"""Caches a value that may take long, or for ever, to read."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import psycopg

from jobsd.clock import monotonic
from jobsd.events.events import emit

T = TypeVar("T")

RETRY_S = 1.0
"""The pause after a failed reading."""
SHARE = 20
"""A value that took long to read is used for this many times as long, so that reading it
costs at most a twentieth of the time, however often it is requested."""


class Fresh(Generic[T]):
    """Reads a value in the background, once at a time, for any number of requesting threads.

    A thread waits for a bounded time, and never for a lock that a reader holds; a reader that
    hangs ends at the deadline of its own statement. A value that took long to read is used for
    `share` times as long.
    """

    def __init__(self, read: Callable[[], T], *, share: float = SHARE) -> None:
        self._read = read
        self._share = share
        self.asked = threading.Event()
        """Set by a reader that only waits from here on, and by the end of each."""
        self._changed = threading.Condition()
        self._value: T | None = None
        self._is_reading = False
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._took_s = 0.0

    @property
    def last(self) -> T | None:
        """The last value that was read, however old; None if there never was one."""
        return self._value

    def begin(self, max_age_s: float) -> None:
        """Begin to read a value, unless one at most this old is known; does not wait."""
        with self._changed:
            if not self._is_fresh(max_age_s):
                self._begin()

    def get(self, *, max_age_s: float, wait_s: float) -> T | None:
        """Return a value at most this old, read now if necessary; None if it can't be read."""
        with self._changed:
            if not self._is_fresh(max_age_s):
                self._begin()
                self._changed.wait_for(lambda: not self._is_reading, wait_s)
            return self._value if self._is_fresh(max_age_s) else None

    def _is_fresh(self, max_age_s: float) -> bool:
        return monotonic() - self._read_at <= max(max_age_s, self._share * self._took_s)

    def _begin(self) -> None:
        if self._is_reading or monotonic() - self._tried_at < RETRY_S:
            return
        self._tried_at = monotonic()
        self.asked.clear()
        # If no thread can be started now, one can be later.
        try:
            threading.Thread(target=self._refresh, name="reader", daemon=True).start()
            self._is_reading = True
        except RuntimeError:
            self.asked.set()

    def _refresh(self) -> None:
        start = monotonic()
        value: T | None = None
        try:
            value = self._read()
        except psycopg.Error:
            # The database thread reports outages.
            pass
        except Exception as error:  # noqa: BLE001 - the request gets nothing, and we go on
            emit("thread.failed", error=error)
        self.asked.set()
        with self._changed:
            self._is_reading = False
            if value is not None:
                self._value, self._read_at = value, monotonic()
                self._took_s, self._tried_at = self._read_at - start, float("-inf")
            self._changed.notify_all()
