"""A way to a server on which a session ends at a statement that is chosen by its number."""

from __future__ import annotations

import contextlib
import struct
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import psycopg

from jobsd.processes.process import WAITED_OUT
from relay import Link, Relay, led_through
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jobsd.database.connection import Target
    from jobsd.processes.process import Loop

HOW = ("terminated", "unheard")
"""An administrator ends the session before the statement, or it breaks behind it."""

RECOVERS_S = 60.0
"""Far more than it takes: a session is opened anew at once."""

_KEY = b"K\x00\x00\x00\x0c"
"""How the message begins in which a server says which of its processes serves us."""
_READY = b"Z\x00\x00\x00\x05"
_SYNC = b"S\x00\x00\x00\x04"


class CutSessions(Relay):
    """Passes on what goes between programs and a server, and counts what is asked."""

    def __init__(self, url: str) -> None:
        self.asked = 0
        """How many statements were sent since the last call of `cut`."""
        self.cuts = 0
        """How many sessions have ended at a statement."""
        self._at: tuple[int, str] | None = None
        super().__init__(url)

    def cut(self, at: int, how: str) -> None:
        """End the session of the statement with this number, counted from 1."""
        self.asked = self.cuts = 0
        self._at = at, how

    def question(self, link: Link, data: bytes) -> bytes:
        """Count it, and end its session if it is its turn."""
        if data.endswith(_SYNC) or data.startswith(b"Q"):
            self.asked += 1
            if self._at is not None and self.asked >= self._at[0]:
                (_, how), self._at = self._at, None
                self._cut(link, how)
        return data

    def answer(self, link: Link, data: bytes) -> bytes | None:
        """Note which process serves the client; lose what it is not to hear."""
        if link.pid is None and _KEY in data:
            (link.pid,) = struct.unpack_from("!i", data, data.index(_KEY) + len(_KEY))
        if not link.unheard:
            return data
        return None if data[-6:-1] == _READY else b""

    def _cut(self, link: Link, how: str) -> None:
        self.cuts += 1
        if how == "terminated":
            with psycopg.connect(self.server_url, autocommit=True) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 60000)", (link.pid,))
        else:
            link.unheard = True


def cutting(target: Target) -> AbstractContextManager[tuple[CutSessions, Target]]:
    """Open such a way, and give it with the target that leads through it."""
    return led_through(CutSessions(target.url), target)


def work_until(loop: Loop, is_done: Callable[[], bool]) -> None:
    """Do as `run` does until it is done, connecting anew, and a few polls more; then end."""
    connected, left = False, 3
    outages: list[str] = []

    def poll() -> None:
        nonlocal connected, left
        try:
            if not connected:
                loop.connect()
                connected = True
            loop.poll()
            left -= is_done()
        except WAITED_OUT as error:
            outages.append(repr(error))
            loop.disconnect()
            connected = False

    wait_until(lambda: not left, RECOVERS_S, lambda: f"outages: {outages}", between=poll)
    with contextlib.suppress(*WAITED_OUT):
        loop.farewell()
    loop.disconnect()


def points(way: CutSessions, every: int, how: str) -> Generator[int]:
    """Yield the numbers of statements, and cut at each, until none is met any more."""
    at = 1
    while True:
        way.cut(at, how)
        yield at
        if not way.cuts:
            assert at > every, "no statement was cut"
            return
        at += every
