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

    def tell(self, row_id: int, *, short: bool, saturated: bool) -> None:
        """Say that we want to be woken, or after a while that we don't."""
        if self._told and saturated:
            self._session.fetch(registry.STATEMENTS["rise"], {"id": row_id})
            self._told = False
        elif not self._told and short and self._session.listening:
            parameters = {"id": row_id, "kind": self._kind}
            self._session.fetch(registry.STATEMENTS["sleep"], parameters)
            self._told = True
