"""A way to a server over which so many bytes pass in a second, in each direction."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from relay import Link, Relay, led_through

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    from jobsd.database.connection import Target
    from relay import Sift

PIECE = 16 * 1024
"""Bytes that pass at once."""


class SlowWay(Relay):
    """Passes on what goes between programs and a server at a bounded rate.

    What was not passed on when its sender closes is lost.
    """

    def __init__(self, url: str, rate: float) -> None:
        self.rate = rate
        """Bytes a second: of all sessions together, in each direction."""
        self._closed = threading.Event()
        self._turns = {True: threading.Lock(), False: threading.Lock()}
        self._free_at = {True: 0.0, False: 0.0}
        super().__init__(url)

    def close(self) -> None:
        """Take no new session, and pass on without delay what is under way."""
        self._closed.set()
        super().close()

    def _pass_on(
        self, link: Link, source: socket.socket, to: socket.socket, sift: Sift
    ) -> None:
        def slowly(link: Link, data: bytes) -> bytes | None:
            up = to is link.server
            for at in range(0, len(data), PIECE):
                piece = sift(link, data[at : at + PIECE])
                if piece is None or (len(data) > PIECE and _has_closed(source)):
                    return None
                self._wait(len(piece), up=up)
                to.sendall(piece)
            return b""

        super()._pass_on(link, source, to, slowly)

    def _wait(self, size: int, *, up: bool) -> None:
        with self._turns[up]:
            now = monotonic()
            self._free_at[up] = free_at = max(now, self._free_at[up]) + size / self.rate
        self._closed.wait(max(0.0, free_at - now))


def _has_closed(end: socket.socket) -> bool:
    poller = select.poll()
    poller.register(end, select.POLLRDHUP)
    return bool(poller.poll(0))


def slowed(target: Target, rate: float) -> AbstractContextManager[tuple[SlowWay, Target]]:
    """Open such a way, and give it with the target that leads through it."""
    return led_through(SlowWay(target.url, rate), target)
