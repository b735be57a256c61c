"""Output that bypasses Python's `print`: descriptors 1 and 2 as lines of the log.

C code and the programs that a job starts write there. The descriptors are pipes, which a thread
of the process reads; the log itself is written to the earlier descriptor. The thread never
waits for long, since a sink that has blocked drops lines, so the writers never wait for long
either.

The supervisor makes the pipes before a fork and keeps their reading ends: it reads the output
that the process could not read before it died. Python's own streams and C's stdout write to a
pipe block by block: the output of a job would appear during a later job, or never, since our
processes exit without the end of the interpreter. So these are flushed (`write_by_lines`).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import os
import select
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .printed import LINE_MAX

PIPE_BYTES = 1 << 18
"""C code that holds the interpreter's lock can write this much without a reader, which could
not run. Not more than this: the kernel has one account of 64 MiB for all pipes of a user, over
containers too, and gives 8 KiB to each beyond."""
LEFT_MAX = 2 * PIPE_BYTES
"""Bytes that are read of a dead process's output, even if a program goes on writing."""
LINES_MAX = 1000
"""The number of these lines that are logged: the supervisor has other children to supervise."""


@dataclass(slots=True)
class Pipe:
    """A pipe from `number` to `reader`. `writer` is -1 once it is closed."""

    number: int
    reader: int
    writer: int

    def close_writer(self) -> None:
        """Close our writing end."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def left(self) -> bytes:
        """Return its content, without waiting for more."""
        poller, text = select.poll(), b""
        poller.register(self.reader, select.POLLIN)
        while len(text) < LEFT_MAX and poller.poll(0):
            data = os.read(self.reader, 65536)
            if not data:
                break
            text += data
        return text


@dataclass(slots=True)
class Pipes:
    """One for stdout and one for stderr; none if the system has no descriptors left."""

    each: list[Pipe] = field(default_factory=list[Pipe])

    @classmethod
    def make(cls) -> Pipes:
        """Make both."""
        pipes = cls()
        with contextlib.suppress(OSError):
            for number in (1, 2):
                pipe = Pipe(number, *os.pipe2(os.O_CLOEXEC))
                pipes.each.append(pipe)
                # A small pipe is better than none.
                with contextlib.suppress(OSError):
                    fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return pipes

    def readers(self) -> list[int]:
        """Return the reading ends."""
        return [pipe.reader for pipe in self.each]

    def close_writers(self) -> None:
        """Close our writing ends: only the started process writes."""
        for pipe in self.each:
            pipe.close_writer()

    def left(self) -> Iterator[tuple[int, list[str], int]]:
        """Yield each descriptor, its last unread lines, and the number of lines before them."""
        for pipe in self.each:
            lines = pipe.left().removesuffix(b"\n").split(b"\n")
            last = [line.decode("utf-8", "backslashreplace") for line in lines[-LINES_MAX:]]
            yield pipe.number, last if any(lines) else [], max(0, len(lines) - LINES_MAX)

    def close(self) -> None:
        """Close all ends."""
        self.close_writers()
        while self.each:
            os.close(self.each.pop().reader)


_LINES = 1  # _IOLBF, in every libc of Linux


def write_by_lines() -> None:
    """Write each line at once, as to a terminal."""
    for stream in (sys.__stdout__, sys.__stderr__):
        # None if the daemon was started without the stream.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        libc = ctypes.CDLL(None)
        libc.setvbuf(_c_stdout(libc), None, _LINES, ctypes.c_size_t(0))


def flush_streams() -> None:
    """Flush the buffers."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # None if the daemon was started without it; otherwise closed, or full.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    # Not all streams of C: another thread may hang in one of them.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        libc = ctypes.CDLL(None)
        libc.fflush(_c_stdout(libc))


def _c_stdout(libc: ctypes.CDLL) -> ctypes.c_void_p:
    return ctypes.c_void_p.in_dll(libc, "stdout")


LAST_S = 0.2
"""How long the exit of the process waits for the last output: a surviving program may hold the
pipe open."""


class Descriptors:
    """Descriptors of this process, each of which is read line by line."""

    def __init__(self, log_line: Callable[[int, str], None], pipes: Pipes) -> None:
        self._log_line = log_line
        self._selector = selectors.DefaultSelector()
        self._unfinished = {pipe.number: b"" for pipe in pipes.each}
        for pipe in pipes.each:
            os.dup2(pipe.writer, pipe.number)
            self._selector.register(pipe.reader, selectors.EVENT_READ, pipe.number)
        pipes.close_writers()
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send further output to /dev/null, and wait until the earlier output is read."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in self._unfinished:
            os.dup2(nowhere, number)
        os.close(nowhere)
        self._thread.join(LAST_S)

    def _read(self) -> None:
        while self._selector.get_map():
            for key, _ in self._selector.select():
                if data := os.read(key.fd, 65536):
                    self._take(key.data, data)
                    continue
                self._selector.unregister(key.fd)
                os.close(key.fd)
                self._take(key.data, b"\n" if self._unfinished[key.data] else b"")

    def _take(self, number: int, data: bytes) -> None:
        *lines, rest = (self._unfinished[number] + data).split(b"\n")
        if len(rest) > LINE_MAX:
            lines.append(rest)
            rest = b""
        self._unfinished[number] = rest
        for line in lines:
            # An error in one line must not end the thread: all later lines would fill up the
            # pipe.
            with contextlib.suppress(Exception):
                self._log_line(number, line.decode("utf-8", "backslashreplace"))
