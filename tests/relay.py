"""A way to a server that passes on what goes over it, and may lose some of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from psycopg import conninfo

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Target


@dataclass(eq=False)
class Link:
    """One session that is relayed."""

    client: socket.socket
    server: socket.socket
    unheard: bool = False
    """Whether answers of the server are lost."""
    forgotten: bool = False
    """Whether nothing passes any more, not even that one end has closed."""
    pid: int | None = None
    """The server's process, once it has told it."""

    def close(self) -> None:
        """End it at both ends."""
        for end in (self.client, self.server):
            _shut(end)
            end.close()


Sift = Callable[[Link, bytes], bytes | None]


class Relay:
    """Passes bytes on between clients and a server; a subclass decides what becomes of them."""

    def __init__(self, url: str, port: int = 0) -> None:
        self.server_url = url
        self._parts = conninfo.conninfo_to_dict(url)
        self.links: list[Link] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The way to the server through here."""
        port = str(self._listener.getsockname()[1])
        way = {"host": "127.0.0.1", "port": port}
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        return conninfo.make_conninfo("", **{**self._parts, **way, **plain})

    def close(self) -> None:
        """Take no new session."""
        _shut(self._listener)
        self._listener.close()

    def question(self, _link: Link, data: bytes) -> bytes | None:
        """Return what the server gets of what a client has sent; None ends the session."""
        return data

    def answer(self, _link: Link, data: bytes) -> bytes | None:
        """Return what the client gets of what the server has sent; None ends the session."""
        return data

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        link = Link(client, self._connect())
        self.links.append(link)
        back = threading.Thread(
            target=self._pass_on, args=(link, link.server, client, self.answer), daemon=True
        )
        back.start()
        self._pass_on(link, client, link.server, self.question)
        back.join()
        link.close()

    def _pass_on(
        self, link: Link, source: socket.socket, to: socket.socket, sift: Sift
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                passed = sift(link, data)
                if passed is None:
                    break
                to.sendall(b"" if link.forgotten else passed)
        if not link.forgotten:
            _shut(to)

    def _connect(self) -> socket.socket:
        host, port = str(self._parts.get("host") or ""), int(self._parts.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host or "127.0.0.1", port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


def _shut(end: socket.socket) -> None:
    """Let nothing pass any more in either direction."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


AnyRelay = TypeVar("AnyRelay", bound=Relay)


@contextlib.contextmanager
def led_through(way: AnyRelay, target: Target) -> Generator[tuple[AnyRelay, Target]]:
    """Give a relay with the target that leads through it, and close it after the block."""
    with contextlib.closing(way):
        yield way, replace(target, url=way.url)
