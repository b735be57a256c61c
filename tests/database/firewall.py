"""A firewall before a test database, which forgets connections as real ones do: in silence."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from relay import Relay

if TYPE_CHECKING:
    import socket


class Firewall(Relay):
    """Relays bytes between clients and the server, until it has forgotten a connection."""

    def __init__(self, url: str, port: int = 0) -> None:
        self.shut = False
        """Whether nothing is let through on new connections."""
        self._held: list[socket.socket] = []
        super().__init__(url, port)

    @property
    def opened(self) -> int:
        """How many connections were made through it."""
        return len(self.links)

    def forget(self) -> None:
        """Let nothing through any more on the connections that there are; tell nobody."""
        for link in self.links:
            link.forgotten = True

    def close(self) -> None:
        """Close all."""
        super().close()
        for link in self.links:
            link.close()
        for client in self._held:
            client.close()

    def _serve(self, client: socket.socket) -> None:
        if self.shut:
            self._held.append(client)
        else:
            super()._serve(client)


def firewall(url: str, port: int = 0) -> contextlib.closing[Firewall]:
    """One that stands until the end of the block."""
    return contextlib.closing(Firewall(url, port))
