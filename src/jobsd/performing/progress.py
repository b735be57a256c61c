"""Writes how far the jobs of a worker have come, and what they have printed and logged.

It writes at most once a second, and once more what is left when the process ends.
"""

from collections.abc import Callable

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Session
from jobsd.instruments.kept import KEPT
from jobsd.jobs import progress

EVERY_S = 1.0


class ProgressWriter:
    """The part of it that the control thread does."""

    def __init__(self, session: Session, wake: Callable[[], None], name: str) -> None:
        self._session = session
        self._name = name
        self._due = 0.0
        self._written: set[int] = set()
        """The jobs whose logs were written last; their rows may just have been deleted."""
        progress.SAID.wake_by(wake)
        KEPT.wake_by(wake)

    def write(self, process_id: int) -> None:
        """Write what jobs have reported, if there is anything and it is time."""
        if self._has_more and monotonic() >= self._due:
            self._due = monotonic() + EVERY_S
            self._write(process_id)

    def finish(self, process_id: int) -> None:
        """Write what is left, at the very end."""
        if progress.SAID or KEPT:
            self._write(process_id)

    def bound(self, rest_s: float) -> float:
        """Return a rest that ends when there is something to write."""
        if not self._has_more:
            return rest_s
        return min(rest_s, max(0.0, self._due - monotonic()))

    @property
    def _has_more(self) -> bool:
        return bool(progress.SAID or KEPT or self._written)

    def _write(self, process_id: int) -> None:
        if progress.SAID:
            self._write_progress(process_id)
        if KEPT or self._written:
            self._write_logs()

    def _write_progress(self, process_id: int) -> None:
        said = progress.SAID.take()
        try:
            progress.write(self._session, process_id, said)
        except OUTAGES:
            progress.SAID.put_back(said)
            raise

    def _write_logs(self) -> None:
        # Here, since most processes keep none.
        from jobsd.jobs import kept_logs  # noqa: PLC0415

        if self._written:
            kept_logs.sweep(self._session, self._written)
            self._written.clear()
        if not KEPT:
            return
        logs = KEPT.take()
        left = list(logs)
        try:
            left = kept_logs.write(self._session, self._name, logs)
        finally:
            KEPT.put_back(left)
        self._written.update({log.job_id for log in logs} - {log.job_id for log in left})
