"""Listens for notifications: on the queue's own connection, or on one past a pooler.

Without notifications a loop polls, so a listener is never a reason to give up the queue: when
its own connection breaks, it does without for a while and then connects again.
"""

import contextlib
from collections.abc import Callable

import psycopg

from jobsd.clock import monotonic

from . import names
from .deadline import OUTAGES, DeadlineConnection, open_connection
from .statements import quote_identifier

RECONNECT_AFTER_S = 10.0
"""How long to do without notifications after LISTEN has failed."""


class Listener:
    """Listens for one session, if that is wanted and possible.

    `url` leads past a pooler; without it the session's own connection is used.
    """

    def __init__(  # noqa: PLR0913 - what a session knows
        self,
        url: str | None,
        channel: str,
        name: str,
        deadline_s: float,
        left_s: Callable[[], float],
        *,
        wanted: bool,
    ) -> None:
        self.url = url if wanted else None
        """The URL of its own connection, if it has one."""
        self._channel = channel
        self._name = f"{name} wake-ups"
        self._deadline_s, self._left_s = deadline_s, left_s
        self._wanted = wanted
        self._connection: DeadlineConnection | None = None
        self._number = 0
        self._shared = False
        self._reconnect_at = 0.0
        self._payloads: list[str] = []

    @property
    def listening(self) -> bool:
        """Whether notifications come."""
        return self._connection is not None

    @property
    def number(self) -> int:
        """The number of the listening connection, from 1; 0 while not listening.

        Notifications sent before it listened on this connection are lost.
        """
        return 0 if self._connection is None else self._number

    def open(self, connection: DeadlineConnection, *, pooled: bool) -> None:
        """Listen on the queue's new connection, or past the pooler if a URL leads there."""
        if not self._wanted:
            return
        if self.url is not None:
            self._reconnect(self.url)
        elif not pooled:
            self._listen_on(connection)
            self._shared = True

    def fileno(self) -> int | None:
        """Return the socket to watch, or None while not listening."""
        return None if self._connection is None else self._connection.pgconn.socket

    def drain(self) -> list[str]:
        """Return the payloads received since the last call; never waits for them.

        Raises:
            psycopg.OperationalError: if the queue's own connection is broken.
        """
        if self._connection is not None:
            self._consume(self._connection)
        elif self.url is not None:
            self._reconnect(self.url, within_s=0.0)
        # Payloads that came while a statement ran are here already.
        payloads, self._payloads = self._payloads, []
        return payloads

    def close(self) -> None:
        """Stop listening; the queue's own connection is not ours to close."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._shared:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()
        self._shared = False

    def _reconnect(self, url: str, within_s: float = names.TICK_S) -> None:
        if monotonic() < self._reconnect_at:
            return
        try:
            names.require_settled(url, within_s=within_s)
        except names.StillLookingUpError:
            return
        try:
            opened = open_connection(url, self._name, self._deadline_s, self._left_s)
            self._listen_on(opened)
        except OUTAGES:
            self._reconnect_at = monotonic() + RECONNECT_AFTER_S

    def _listen_on(self, connection: DeadlineConnection) -> None:
        name = quote_identifier(self._channel)
        connection.add_notify_handler(lambda notify: self._payloads.append(notify.payload))
        connection.execute(f"LISTEN {name}".encode(), prepare=False)
        self._connection = connection
        self._number += 1

    def _consume(self, connection: DeadlineConnection) -> None:
        try:
            connection.pgconn.consume_input()
            while notification := connection.pgconn.notifies():
                self._payloads.append(notification.extra.decode(errors="replace"))
        except OUTAGES:
            if self._shared:
                raise
            self.close()
            self._reconnect_at = monotonic() + RECONNECT_AFTER_S
