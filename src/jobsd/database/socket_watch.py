"""Lets an event loop watch a connection's socket for as long as the connection lasts.

Registering a socket again for each statement takes a tenth of the time of an enqueue. But libpq
closes its descriptor by itself when the server goes; the loop would not know, and the next
socket that gets the number could not be watched. So the loop watches a duplicate, which is ours
to close.
"""

import asyncio
import os
import select
from typing import Any, Protocol
from weakref import ref


class Watched(Protocol):
    """An object that is notified when its socket can be read."""

    def readable(self) -> None:
        """Read, or stop watching: until then this is called again and again."""
        ...


class SocketWatch:
    """The duplicate of a socket, watched by one loop of one process.

    The loop keeps neither this nor `watched` alive: connections without references end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: int, watched: Watched) -> None:
        self.socket = os.dup(socket)
        self._loop = loop
        self._pid = os.getpid()
        self._poller = select.poll()
        self._poller.register(self.socket, select.POLLIN)
        loop.add_reader(self.socket, _notify, ref(watched))

    def has_input(self) -> bool:
        """Return whether there is input to read now."""
        return bool(self._poller.poll(0))

    def end(self) -> None:
        """Stop watching; called in the loop's thread."""
        if self.socket >= 0 and self._pid == os.getpid():
            _end(self._loop, self._give_away())

    def __del__(self) -> None:
        # In any thread. A child of a fork shares the loop's list with its parent, so it is
        # left.
        if self.socket >= 0 and self._pid == os.getpid():
            socket = self._give_away()
            try:
                self._loop.call_soon_threadsafe(_end, self._loop, socket)
            except RuntimeError:  # the loop is closed
                os.close(socket)

    def _give_away(self) -> int:
        socket, self.socket = self.socket, -1
        return socket


def _notify(watched: ref[Any]) -> None:
    connection = watched()
    if connection is not None:
        connection.readable()


def _end(loop: asyncio.AbstractEventLoop, socket: int) -> None:
    if not loop.is_closed():
        loop.remove_reader(socket)
        loop.remove_writer(socket)
    os.close(socket)
