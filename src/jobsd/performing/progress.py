"""Writes the progress of a worker's jobs, and has their output and logs stored.

It writes at most once a second, and writes the rest when the process ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Session
from jobsd.enqueueing.completion import is_opened
from jobsd.jobs import progress
from jobsd.logs.capture import KEPT

if TYPE_CHECKING:
    from .log_writer import LogWriter

EVERY_S = 1.0


class ProgressWriter:
    """The control thread's part of storing progress and logs."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._due = 0.0
        self._logs: LogWriter | None = None

    def write(self, process_id: int) -> None:
        """Write reported progress, if there is any and the interval has passed."""
        if KEPT.most and self._logs is None:
            # Imported here, since most processes keep no logs.
            from .log_writer import LogWriter  # noqa: PLC0415

            self._logs = LogWriter(self._session.target, self._name)
        if progress.SAID and monotonic() >= self._due:
            self._due = monotonic() + EVERY_S
            self._write(process_id)

    def finish(self, process_id: int) -> None:
        """Write the rest, at the very end."""
        while progress.SAID:
            self._write(process_id)
        self.end_logs()

    def end_logs(self) -> None:
        """Store the last lines of logs, and end the log writer's thread."""
        if self._logs is not None:
            self._logs.end()
            self._logs = None

    def bound(self, rest_s: float) -> float:
        """Return a rest that ends when there is progress to write."""
        if not progress.SAID:
            return rest_s
        return min(rest_s, max(0.0, self._due - monotonic()))

    def _write(self, process_id: int) -> None:
        taken = progress.SAID.take(progress.TAKEN_MAX)
        later = {job_id: text for job_id, text in taken.items() if is_opened(job_id)}
        progress.SAID.put_back(later)
        said = {job_id: text for job_id, text in taken.items() if job_id not in later}
        try:
            if said:
                progress.write(self._session, process_id, said)
        except OUTAGES:
            progress.SAID.put_back(said)
            raise
