"""Where notifications come: on the queue's own connection, or on one past a pooler.

Without them a loop polls, so an ear is never a reason to give up the queue: when one of
its own breaks, we are deaf for a while and then try again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg

from jobsd.clock import monotonic
from jobsd.database.statements import channel, quote_identifier
from jobsd.database.wire import OUTAGES, Wire, open_wire

if TYPE_CHECKING:
    from jobsd.database.connection import Target

DEAF_S = 10.0
"""How long to do without wake-ups after they could not be listened for."""


class Ear:
    """Listens for one session, if that is wanted and possible."""

    def __init__(self, target: Target, name: str, deadline_s: float, *, wanted: bool) -> None:
        self._target = target
        self._name = f"{name} wake-ups"
        self._deadline_s = deadline_s
        self._wanted = wanted and target.wakeups != "off"
        self._wire: Wire | None = None
        self._shared = False
        self._deaf_until = 0.0
        self._heard: list[str] = []

    @property
    def listening(self) -> bool:
        """Whether notifications come."""
        return self._wire is not None

    def open(self, connection: Wire, *, pooled: bool) -> None:
        """Listen on the queue's new connection; past the pooler if there is a way."""
        if not self._wanted:
            return
        if self._target.listen_url is not None:
            self._open_own()
        elif not pooled:
            self._listen_on(connection)
            self._shared = True

    def fileno(self) -> int | None:
        """Return the socket to watch, or None while we are deaf."""
        return None if self._wire is None else self._wire.pgconn.socket

    def hear(self) -> list[str]:
        """Return the payloads that have come since the last call; never waits for them.

        Raises:
            psycopg.OperationalError: when the queue's own connection is broken.
        """
        if self._wire is not None:
            self._take_in(self._wire)
        elif self._wanted and self._target.listen_url is not None:
            self._open_own()
        # Those that came while a statement ran are here already.
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Stop listening; the queue's own connection is not ours to close."""
        wire, self._wire = self._wire, None
        if wire is not None and not self._shared:
            with contextlib.suppress(psycopg.Error, OSError):
                wire.close()
        self._shared = False

    def _open_own(self) -> None:
        if self._target.listen_url is None or monotonic() < self._deaf_until:
            return
        try:
            self._listen_on(open_wire(self._target.listen_url, self._name, self._deadline_s))
        except OUTAGES:
            self._deaf_until = monotonic() + DEAF_S

    def _listen_on(self, wire: Wire) -> None:
        name = quote_identifier(channel(self._target.schema))
        wire.add_notify_handler(lambda notify: self._heard.append(notify.payload))
        wire.execute(f"LISTEN {name}".encode(), prepare=False)
        self._wire = wire

    def _take_in(self, wire: Wire) -> None:
        try:
            wire.pgconn.consume_input()
            while notification := wire.pgconn.notifies():
                self._heard.append(notification.extra.decode(errors="replace"))
        except OUTAGES:
            if self._shared:
                raise
            self.close()
            self._deaf_until = monotonic() + DEAF_S
