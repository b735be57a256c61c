"""The row by which an idle process asks for notifications."""

from jobsd.database.connection import Session

from . import registry


class IdleRegistration:
    """The row of one process in `sleepers`. A notification costs the sender a lock."""

    def __init__(self, session: Session, kind: str) -> None:
        self._session = session
        self._kind = kind
        self._written = 0
        """The number of the listening connection for which the row was written; 0: no row."""

    def forget(self) -> None:
        """Note that the row is gone: the process has a new row in `processes`."""
        self._written = 0

    @property
    def stands(self) -> bool:
        """Whether the process is registered, and a notification would reach it."""
        return 0 < self._written == self._session.listener_number

    def register(self, process_id: int) -> bool:
        """Register as idle; return whether the registration is new.

        Invariant: a process registers before it searches for work. A client that commits work
        after that search sees the registration.
        """
        # A listener of its own may have lost its server, which emptied the table, and another
        # one may listen already.
        number = self._session.listener_number
        if self._written == number:
            return False
        self._written = 0
        if not number:
            return False
        parameters = {"id": process_id, "kind": self._kind}
        self._session.fetch(registry.STATEMENTS["register_idle"], parameters)
        self._written = number
        return True

    def withdraw(self, process_id: int) -> bool:
        """Delete the registration: the process polls by itself.

        Return whether there was one.
        """
        if not self._written:
            return False
        self._session.fetch(registry.STATEMENTS["withdraw_idle"], {"id": process_id})
        self._written = 0
        return True
