"""The base of a loop that works on the database: its connection, its row, its end.

A subclass defines `poll`, `doing`, and `metadata`, which its row in `processes` shows. It
extends `connect` and `disconnect` by the state to reset, or to read again, after an outage.
"""

from typing import Any

from jobsd.database.commits import Commits
from jobsd.database.connection import Session
from jobsd.database.migrate import recognize

from . import registry
from .context import Context


class DatabaseLoop:
    """Connects, registers its process, and deregisters it: the common part of a `Loop`."""

    kind: str

    def __init__(self, context: Context, session: Session) -> None:
        self._context = context
        self.session = session
        """Used by the thread of the loop alone; closed during an outage."""
        self._commits = Commits(session)
        self.process_id = 0
        self._stopping = False

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the process's row, as JSON."""
        raise NotImplementedError

    def connect(self) -> None:
        """Reach the database and register; the row may be a new one after an outage."""
        self.session.require_names()
        recognize(self.session)
        shown = self.metadata()
        if self._context.quiet:
            shown["quiet"] = True
        self.process_id = registry.enter(self.session, self._context, self.kind, shown)

        if registry.everything_paused(self.session):
            # Only the monitor takes it back: it may know already of a resume.
            self._context.scoreboard.everything_paused = 1

    @property
    def paused(self) -> bool:
        """Whether everything is paused: the loop begins nothing."""
        return bool(self._context.scoreboard.everything_paused)

    def disconnect(self) -> None:
        """Drop the connection."""
        self.session.close()

    def socket(self) -> int | None:
        """Return the socket on which notifications come."""
        return self.session.fileno()

    def stop(self) -> None:
        """Stop at once: between two polls the loop holds no work."""
        self._stopping = True

    @property
    def stopped(self) -> bool:
        """Whether the process may exit."""
        return self._stopping

    def farewell(self) -> None:
        """Delete the row."""
        registry.leave(self.session, self._context, self.process_id)
