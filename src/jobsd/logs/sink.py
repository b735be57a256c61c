"""The destination of the log: a file descriptor that may be slow, full, stopped or closed.

Logging must not stop the work. So a line is one write that does not block; when there is no
room, it is tried again for a fifth of a second, then dropped and counted. Once a sink has
blocked, no line waits for it until one has got through. A journal that is slow, but not
stopped, would hold up every second line this way: all lines of a process together wait for the
journal a fifth of a second in ten.

A pipe shared by six processes takes lines of up to 4,096 bytes whole (of 18,000 lines of 4,097
bytes, 192 were torn); so longer ones are cut before. Asking first whether there is room is
useless: between the answer and the write another process may take it. So we open a description
of our own that does not block: O_NONBLOCK on the given one would also hold for the shell that
started us.

A disk that fills up takes a part of the last line. So each process that could not write begins
with a new line; one may stay empty.
"""

import os
import select
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass

from jobsd.clock import monotonic

from .journal import JournalSocket

WAIT_S = 0.2
JOURNAL_EVERY_S = 10.0
"""The interval after which a process may wait for the journal again."""
PIPE_LINE_BYTES = 4096
LINE_BYTES = 16384
"""The journal splits lines at 48 KiB, and a file tears none of 20 kB."""


class Sink:
    """Writes lines to a descriptor; never raises, and never waits for long.

    Safe from any thread: a line is one write, and nothing is locked. Without a descriptor it
    writes entries to the journal.

    Raises:
        OSError: there is no journal.
    """

    def __init__(self, fd: int | None, dropped: Callable[[int], None]) -> None:
        self.lost = 0
        self._dropped = dropped
        self._blocked = False
        self._torn = False
        self._is_file = fd is not None and stat.S_ISREG(_mode(fd))
        self._is_journal = fd is None
        self._left_s, self._again_at = WAIT_S, 0.0
        self._way = _to_journal() if fd is None else _open(fd)
        is_pipe = fd is not None and _is_pipe(fd)
        self.line_bytes = PIPE_LINE_BYTES if is_pipe else LINE_BYTES

    def write(self, line: bytes) -> bool:
        """Write a line that ends in a newline; return whether it got through."""
        try:
            self._write(b"\n" + line if self._torn else line)
        except OSError:
            self._blocked = True
            self._torn = self._torn or self._is_file
            self.drop(1)
            return False
        self._blocked = self._torn = False
        return True

    def drop(self, lines: int) -> None:
        """Count lines that are not written; the log reports them once a line gets through."""
        if lines:
            self.lost += lines
            self._dropped(lines)

    @property
    def fd(self) -> int:
        """The descriptor that is written to, -1 once it is closed."""
        return self._way.fd

    def move_to(self, fd: int) -> None:
        """Write to another file from now on. Safe in a signal handler and from any thread.

        The number of the descriptor stays, so a line that another thread writes meanwhile
        goes to one of the two files.

        Raises:
            OSError: the sink is closed.
        """
        os.dup2(fd, self._way.fd, inheritable=False)

    def close(self) -> None:
        """Close our own description; the given descriptor stays open."""
        way, self._way = self._way, _Way(-1, _closed)
        way.close()

    def _write(self, line: bytes) -> None:
        began = monotonic()
        end = began if self._blocked else began + self._wait_max_s(began)
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[self._way.send(rest) :]
            except BlockingIOError:
                # Only a stopped terminal takes a part of a line.
                self._torn = self._torn or len(rest) < len(line)
                if not self._has_room(until=end):
                    raise

    def _wait_max_s(self, now: float) -> float:
        if self._is_journal and now >= self._again_at:
            self._left_s, self._again_at = WAIT_S, now + JOURNAL_EVERY_S
        return self._left_s

    def _has_room(self, until: float) -> bool:
        """Wait for room until then, and no longer; return whether there is some."""
        began = monotonic()
        has_room = until > began and _writable(self._way.fd, until - began)
        if self._is_journal:
            self._left_s = max(0.0, self._left_s - (monotonic() - began))
        return has_room


def journal_reads(fd: int, journal_stream: str | None) -> bool:
    """Return whether the descriptor is the one in JOURNAL_STREAM, which the journal reads."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


@dataclass(frozen=True, slots=True)
class _Way:
    """A descriptor, how to send on it without waiting, how to release it."""

    fd: int
    send: Callable[[memoryview], int]
    close: Callable[[], None] = lambda: None


def _to_journal() -> _Way:
    journal = JournalSocket()
    return _Way(journal.fileno(), journal.send, journal.close)


def _open(fd: int) -> _Way:
    mode = _mode(fd)
    if stat.S_ISSOCK(mode):
        wire = socket.socket(fileno=os.dup(fd))
        return _Way(
            wire.fileno(), lambda data: wire.send(data, socket.MSG_DONTWAIT), wire.close
        )
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            # The pipe belongs to another user: ask for room first, and hope that it stays.
            other = _copy(fd)
            return _Way(
                other, lambda data: _write_if_writable(other, data), lambda: _close(other)
            )
        return _Way(own, lambda data: os.write(own, data), lambda: os.close(own))
    copy = _copy(fd)
    return _Way(copy, lambda data: os.write(copy, data), lambda: _close(copy))


def _copy(fd: int) -> int:
    """Return a descriptor of the present file of `fd`; -1 if that is not open."""
    try:
        return os.dup(fd)
    except OSError:
        return -1


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _closed(_: memoryview) -> int:
    raise BrokenPipeError


def _write_if_writable(fd: int, data: memoryview) -> int:
    if not _writable(fd, 0):
        raise BlockingIOError
    return os.write(fd, data)


def _writable(fd: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(max(0.0, seconds) * 1000))


def _is_pipe(fd: int) -> bool:
    return stat.S_ISFIFO(_mode(fd))


def _mode(fd: int) -> int:
    try:
        return os.fstat(fd).st_mode
    except OSError:
        return 0
