"""A firewall before a test database, which forgets connections as real ones do: in silence."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import TYPE_CHECKING

from psycopg import conninfo

if TYPE_CHECKING:
    from collections.abc import Generator


class Firewall:
    """Relays bytes between clients and the server, until it has forgotten a connection."""

    def __init__(self, url: str, port: int = 0) -> None:
        self._parts = conninfo.conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._peers: dict[socket.socket, socket.socket] = {}
        self._forgotten: list[socket.socket] = []
        self._over = False
        self.shut = False
        """Whether nothing is let through on new connections."""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._relay, name="firewall", daemon=True)
        self._thread.start()
        self.opened = 0
        """How many connections were made through it."""

    @property
    def url(self) -> str:
        """The way through it."""
        port = self._listener.getsockname()[1]
        way = {"host": "127.0.0.1", "port": str(port), "sslmode": "disable"}
        return conninfo.make_conninfo("", **{**self._parts, **way})

    def forget(self) -> None:
        """Let nothing through any more on the connections that there are; tell nobody."""
        with self._lock:
            self._forgotten += self._peers
            self._peers.clear()

    def end(self) -> None:
        """Close all, and wait for the thread."""
        self._over = True
        with socket.create_connection(self._listener.getsockname()):
            self._thread.join(10)
        for each in (self._listener, *self._peers, *self._forgotten):
            each.close()

    def _relay(self) -> None:
        while not self._over:
            with self._lock:
                watched = [self._listener, *self._peers]
            for ready in select.select(watched, [], [], 0.05)[0]:
                with self._lock:
                    self._serve(ready)

    def _serve(self, ready: socket.socket) -> None:
        if ready is self._listener:
            client, _ = self._listener.accept()
            if self.shut:
                self._forgotten.append(client)
                return
            server = self._connect()
            self._peers |= {client: server, server: client}
            self.opened += 1
        elif peer := self._peers.get(ready):
            data = b""
            with contextlib.suppress(OSError):
                data = ready.recv(1 << 16)
            with contextlib.suppress(OSError):
                peer.sendall(data) if data else peer.shutdown(socket.SHUT_RDWR)
            if not data:
                del self._peers[ready], self._peers[peer]
                self._forgotten += [ready, peer]
                ready.close()

    def _connect(self) -> socket.socket:
        host, port = str(self._parts.get("host") or ""), self._parts.get("port") or 5432
        if not host.startswith("/"):
            return socket.create_connection((host or "127.0.0.1", int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


@contextlib.contextmanager
def firewall(url: str, port: int = 0) -> Generator[Firewall]:
    """One that stands until the end of the block."""
    made = Firewall(url, port)
    try:
        yield made
    finally:
        made.end()
