"""An outage of the database, waited out and told once at each end."""

from __future__ import annotations

from jobsd.clock import monotonic
from jobsd.instruments.events import emit

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 1.0
"""However long it takes: when the database is back, we are within about a second."""


class Outage:
    """Counts from the first error to the first success."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._pause_s = PAUSE_MIN_S
        self._was_up = False

    def note(self, error: BaseException) -> float:
        """Report the first error of a row; return the seconds to wait before trying again."""
        if self._since is None:
            self._since = monotonic()
            event = "database.lost" if self._was_up else "database.waiting"
            emit(event, error=" ".join(str(error).split()))
        pause_s = self._pause_s
        self._pause_s = min(PAUSE_MAX_S, pause_s * 2)
        return pause_s

    def over(self) -> None:
        """Report the end of the outage, if there was one."""
        if self._since is not None:
            emit("database.back", duration=round(monotonic() - self._since, 3))
        self._since, self._pause_s, self._was_up = None, PAUSE_MIN_S, True
