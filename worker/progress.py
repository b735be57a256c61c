"""Writes how far the jobs of a worker have come: at most once a second, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.jobs import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session

EVERY_S = 1.0


class ProgressWriter:
    """What of it the control thread does."""

    def __init__(self, session: Session, wake: Callable[[], None]) -> None:
        self._session = session
        self._due = 0.0
        progress.SAID.wake_by(wake)

    def write(self, process_id: int) -> None:
        """Write what was said, if there is anything and it is time to."""
        if progress.SAID and monotonic() >= self._due:
            progress.write(self._session, process_id, progress.SAID.take())
            self._due = monotonic() + EVERY_S

    def bound(self, rest_s: float) -> float:
        """Return a rest that ends when there is something to write."""
        if not progress.SAID:
            return rest_s
        return min(rest_s, max(0.0, self._due - monotonic()))
