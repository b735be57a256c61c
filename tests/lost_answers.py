"""A way to a server on which an answer can be lost: what was asked is done, unheard."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import conninfo

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Target

_AT_REST = b"Z\x00\x00\x00\x05I"
"""How an answer ends behind which no transaction is open."""
_PREPARED = b"1\x00\x00\x00\x04" + _AT_REST
"""What is only prepared has done nothing yet."""


class LostAnswers:
    """Passes on what goes between programs and a server, until an answer is to be lost."""

    def __init__(self, url: str) -> None:
        self._to = conninfo.conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._what: bytes | None = None
        self.lost = 0
        """How many answers were lost so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The way to the server through here."""
        port = self._listener.getsockname()[1]
        way = f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable"
        to = {key: value for key, value in self._to.items() if key not in {"host", "port"}}
        return f"{conninfo.make_conninfo('', **to)} {way}"

    def lose(self, what: bytes = b"") -> None:
        """Lose the next answer to something that has these bytes in it, and the connection."""
        self._what = what

    def close(self) -> None:
        """Take nobody any more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = self._connect()
        loses = threading.Event()
        back = threading.Thread(target=self._answer, args=(client, server, loses), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._what is not None and self._what in data:
                    self._what = None
                    loses.set()
                server.sendall(data)
        shut(server)
        back.join()
        client.close()
        server.close()

    def _answer(
        self, client: socket.socket, server: socket.socket, loses: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if not loses.is_set() or data == _PREPARED:
                    client.sendall(data)
                elif data.endswith(_AT_REST):
                    self.lost += 1
                    break
        shut(client)

    def _connect(self) -> socket.socket:
        host, port = str(self._to["host"]), int(str(self._to.get("port") or 5432))
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


def shut(end: socket.socket) -> None:
    """Let nothing pass any more in either direction."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def losing(target: Target) -> Generator[tuple[LostAnswers, Target]]:
    """Open such a way, and give it with the target that leads through it."""
    way = LostAnswers(target.url)
    with contextlib.closing(way):
        yield way, replace(target, url=way.url)
