"""Requests of commands to a running supervisor, and the answers to them.

A supervisor listens on a Unix socket in the abstract namespace, with a name made of the
project's folder: no file is left behind, no folder has to be writable, and the kernel gives
either side the credentials of the other. So no database is needed, and a supervisor that is
gone can't be asked. If several supervisors run in one folder, each takes the first free number.

A command sends one word and an end of line. It gets an acknowledgement at once and the outcome
at the end, both as JSON, one a line. The supervisor never waits for a command: it drops an
answer that it can't write, and closes the oldest of too many connections.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SOCKETS_MAX = 16
"""The number of supervisors of one folder that can be asked."""
OPEN_MAX = 32
_WORD_BYTES_MAX = 64
_MESSAGE_MAX = 16_000
"""Characters of an answer: more than a socket takes at once would be lost."""
_LISTED = re.compile(r" @(jobsd/[0-9a-f]+/[0-9]+)$", re.MULTILINE)
_PEER = struct.Struct("3i")
_CONNECTED_WITHIN = struct.pack("@ll", 2, 0)
"""In the kernel's format: seconds and microseconds."""


class PeerCredentials(NamedTuple):
    """The process at the other end of a connection, as the kernel knows it."""

    pid: int
    uid: int
    gid: int


def address(root: Path, number: int) -> str:
    """Return the name of the socket of a project's supervisor.

    The folder counts, by whatever path, and the namespace of process ids: containers that
    share a network may have equal folders.
    """
    folder = root.stat()
    words = f"{folder.st_dev} {folder.st_ino} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    name = hashlib.blake2s(words.encode(), digest_size=12).hexdigest()
    return f"\0jobsd/{name}/{number}"


def peer(connection: socket.socket) -> PeerCredentials:
    """Return the credentials of the process at the other end."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return PeerCredentials(*_PEER.unpack(found))


class Requester:
    """A command that has sent a request and waits for the outcome."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def answer(self, status: int, message: str = "", **facts: object) -> None:
        """Send the exit status for the command, and the message that it prints."""
        self._send({"status": status, "message": message[:_MESSAGE_MAX], **facts})
        self.close()

    def acknowledge(self, word: str) -> None:
        """Acknowledge that the word was understood."""
        self._send({"heard": word})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, facts: dict[str, object]) -> None:
        # A command that is gone, or does not read, misses it.
        with contextlib.suppress(OSError):
            # Unescaped: escaped, the same text would take up to three times the room.
            line = json.dumps(facts, ensure_ascii=False)
            self._connection.sendall(line.encode("utf-8", "backslashreplace") + b"\n")


class Requests:
    """The socket of one supervisor and its connections; without one there are no requests."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._listener = listener
        self._open: list[socket.socket] = []
        self._silent: list[socket.socket] = []

    def descriptors(self) -> Iterator[int]:
        """Yield the descriptors that no child may keep."""
        for each in (*([self._listener] if self._listener else ()), *self._open):
            if each.fileno() >= 0:
                yield each.fileno()

    def close(self) -> None:
        """Close all connections; commands that wait see that."""
        for each in (*([self._listener] if self._listener else ()), *self._open):
            each.close()

    def readable(self) -> list[int]:
        """Return the descriptors that become readable when a request can be taken."""
        listener = [] if self._listener is None else [self._listener]
        return [each.fileno() for each in (*listener, *self._silent)]

    def take(self) -> Iterator[tuple[str, Requester]]:
        """Yield each word received since the last call, and the command that sent it."""
        self._accept()
        for connection in tuple(self._silent):
            try:
                word = connection.recv(_WORD_BYTES_MAX)
            except BlockingIOError:
                continue
            except OSError:
                word = b""
            self._silent.remove(connection)
            if word:
                yield word.decode(errors="replace").strip(), Requester(connection)
            else:
                connection.close()

    def _accept(self) -> None:
        self._open = [each for each in self._open if each.fileno() >= 0]
        while self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(0)
            if peer(connection).uid not in {0, os.geteuid()}:
                connection.close()
                continue
            self._open.append(connection)
            self._silent.append(connection)
            if len(self._open) > OPEN_MAX:
                oldest = self._open.pop(0)
                if oldest in self._silent:
                    self._silent.remove(oldest)
                oldest.close()


def listen(root: Path) -> Requests:
    """Listen for the commands of a project; without a socket if that is impossible."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with contextlib.suppress(OSError):
        for number in range(SOCKETS_MAX):
            if _bound(listener, address(root, number)):
                listener.listen(OPEN_MAX)
                listener.settimeout(0)
                return Requests(listener)
    listener.close()
    return Requests()


def running(root: Path) -> Iterator[socket.socket]:
    """Yield a connection to each supervisor of a project, ours to close."""
    yield from _connected(address(root, number) for number in range(SOCKETS_MAX))


def running_anywhere() -> Iterator[socket.socket]:
    """Yield a connection to each supervisor of any folder, ours to close.

    A folder that was replaced, by `mv` or a new checkout, is for the kernel not the one in
    which a supervisor was started.
    """
    with contextlib.suppress(OSError):
        listed = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
        yield from _connected(f"\0{name}" for name in sorted(set(_LISTED.findall(listed))))


def _connected(names: Iterable[str]) -> Iterator[socket.socket]:
    for name in names:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # Any process may have taken a name, and let those who connect wait for ever.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _CONNECTED_WITHIN)
        try:
            connection.connect(name)
        except OSError:
            connection.close()
        else:
            yield connection


def _bound(listener: socket.socket, name: str) -> bool:
    try:
        listener.bind(name)
    except OSError:
        return False
    return True
