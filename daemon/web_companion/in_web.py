"""`python -m jobsd.daemon.web_companion.in_web PID`: keeps a tree inside the web server PID.

The first process takes the socket's name, forks and ends, so that the keeper has no parent that
could reap it. The keeper then waits until no other web server of this host keeps a tree of this
project: it locks the project's folder, and the tree inherits the lock. So there are never two.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd import clock, in_web

if TYPE_CHECKING:
    from .sibling import Exit
    from .siblings import Siblings
    from .source_watch import Found

_WAITS_S = 1.0
_WAITS_FOR_LOCK_S = 0.2
"""No event reports that a lock of a file is free, and trying takes 2 µs."""
_LEFT_S = 30.0
"""How long a worker's notice of an orderly end counts for its server."""
_CONNECTIONS_MAX = 1024


class Keeper:
    """A companion that starts the tree when it holds the lock and ends it with its host."""

    def __init__(self, host: int, listener: socket.socket, lock: int, root: Path) -> None:
        self._process = os.pidfd_open(host)
        self._listener, self._lock, self._root = listener, lock, root
        self._found: Found = {}
        self._open: list[socket.socket] = []
        self._holds = self._is_over = False
        self._left_at = -_LEFT_S

    def descriptors(self) -> list[int]:
        """Return descriptors that become readable when the host ends or sends a word."""
        found = [each.fileno() for each in (self._listener, *self._open)]
        return found if self._is_over else [*found, self._process]

    def poll(self, siblings: Siblings) -> float:
        """Take the lock, receive words, and end the tree once the host has ended."""
        for word in self._words():
            self._take(word, siblings)
        if not self._is_over and select.select([self._process], [], [], 0)[0]:
            self._is_over = True
            in_order = clock.monotonic() - self._left_at < _LEFT_S
            siblings.stop(signal.SIGTERM if in_order else signal.SIGQUIT)
        if not self._holds and not self._is_over and self._locks():
            self._holds = True
            self._has_changed()
            siblings.start_tree()
        return _WAITS_S if self._holds else _WAITS_FOR_LOCK_S

    def after_exit(self, exited: Exit) -> bool:
        """Stay when the tree was stopped, or is misconfigured: a reload starts it again."""
        del exited
        return True

    def _take(self, word: tuple[socket.socket, bytes], siblings: Siblings) -> None:
        connection, said = word
        if said == b"stop":
            with contextlib.suppress(OSError):
                connection.send(b"%d" % int(siblings.stop_max_s))
            siblings.stop()
        elif said == b"leave":
            self._left_at = clock.monotonic()
        elif said == b"reload" and self._holds:
            self._has_changed()
            siblings.reload()
        elif said == b"renewed" and self._holds and self._has_changed():
            siblings.reload()

    def _has_changed(self) -> bool:
        """Return whether a file of the project has changed since the last call."""
        from .source_watch import files_below

        before, self._found = self._found, files_below(self._root)
        return before != self._found

    def _words(self) -> list[tuple[socket.socket, bytes]]:
        """Return the words received, with their connections; the end is no word."""
        with contextlib.suppress(BlockingIOError):
            while len(self._open) < _CONNECTIONS_MAX:
                connection, _ = self._listener.accept()
                connection.settimeout(0)
                self._open.append(connection)
        found: list[tuple[socket.socket, bytes]] = []
        for connection in tuple(self._open):
            try:
                read = connection.recv(256)
            except BlockingIOError:
                continue
            except OSError:
                read = b""
            found += [(connection, word) for word in read.split()]
            if not read:
                connection.close()
                self._open.remove(connection)
        return found

    def _locks(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False


def main(host: int) -> None:
    """Become the keeper of a web server, in a process of its own; return in the first one."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(in_web.address(host))
    except OSError:
        return
    listener.listen(64)
    listener.settimeout(0)
    if os.fork():
        return
    # Ctrl-C of a terminal reaches the web server, which notifies us.
    os.setsid()
    try:
        _keep(host, listener)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        raise
    finally:
        os._exit(0)


def _keep(host: int, listener: socket.socket) -> None:
    # The first process, which the web server waits for, ends before these are loaded.
    from jobsd.configuration.target import IN_WEB
    from jobsd.daemon.cli.project import Project
    from jobsd.logs import logs

    from .sibling import tree
    from .siblings import Siblings, log_as

    project = Project()
    # Faults are reported by the tree, whenever it is started.
    options = project.examine().options
    log_as("in_web", options)
    lock = os.open(project.root, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(ProcessLookupError):
        keeper = Keeper(host, listener, lock, project.root)
        daemon = tree((), {**os.environ, **IN_WEB}, kept=(lock,))
        drain_s = options.supervisor.shutdown_timeout_s
        Siblings(daemon, None, (keeper,), drain_s=drain_s).run(start_tree=False)
    logs.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]))
