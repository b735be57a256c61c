"""Whether the database knows that this worker sleeps, so that enqueuers send notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session


class Sleeper:
    """The row of one worker in `sleepers`."""

    def __init__(self, session: Session, kind: str) -> None:
        self._session = session
        self._kind = kind
        self._told = False

    def forget(self) -> None:
        """Take note that the row is of somebody else: we have registered anew."""
        self._told = False

    @property
    def told(self) -> bool:
        """Whether our wish to be woken stands."""
        return self._told and self._session.listening

    def sleep(self, row_id: int) -> bool:
        """Say that we want to be woken; return whether that is new."""
        if not self._session.listening:
            # An ear of its own may have broken with the server, which has emptied the table.
            self._told = False
        if self._told or not self._session.listening:
            return False
        parameters = {"id": row_id, "kind": self._kind}
        self._session.fetch(registry.STATEMENTS["sleep"], parameters)
        self._told = True
        return True

    def rise(self, row_id: int) -> bool:
        """Say that we come round by ourselves; return whether that is new."""
        if not self._told:
            return False
        self._session.fetch(registry.STATEMENTS["rise"], {"id": row_id})
        self._told = False
        return True
