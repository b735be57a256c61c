"""The pipes that replace descriptors 1 and 2, made by the supervisor before a fork.

The supervisor keeps their reading ends: it reads what the process could not read before it
died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from collections.abc import Iterator
from dataclasses import field

from jobsd.late import dataclass

PIPE_BYTES = 1 << 18
"""C code that holds the interpreter's lock can write this much without a reader, which could
not run. Not more than this: the kernel has one account of 64 MiB for
all pipes of a user, over containers too, and gives 8 KiB to each beyond."""
LEFT_MAX = 2 * PIPE_BYTES
"""Bytes that are read of a dead process's output, even if a program goes on writing."""
LINES_MAX = 1000
"""Lines of it that are logged: the supervisor has other children to supervise."""


@dataclass(slots=True)
class Pipe:
    """What is written to `number` can be read at `reader`. `writer` is -1 once it is closed."""

    number: int
    reader: int
    writer: int

    def close_writer(self) -> None:
        """Close our writing end."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def left(self) -> bytes:
        """Return what is in it now, without waiting for more."""
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
                # One that stays small is better than none.
                with contextlib.suppress(OSError):
                    fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return pipes

    def readers(self) -> list[int]:
        """Return the reading ends."""
        return [pipe.reader for pipe in self.each]

    def close_writers(self) -> None:
        """Close our writing ends: only the process that was started writes."""
        for pipe in self.each:
            pipe.close_writer()

    def left(self) -> Iterator[tuple[int, list[str], int]]:
        """Yield each descriptor, its last unread lines, and how many lines were before them."""
        for pipe in self.each:
            lines = pipe.left().removesuffix(b"\n").split(b"\n")
            last = [line.decode("utf-8", "backslashreplace") for line in lines[-LINES_MAX:]]
            yield pipe.number, last if any(lines) else [], max(0, len(lines) - LINES_MAX)

    def close(self) -> None:
        """Close all ends."""
        self.close_writers()
        while self.each:
            os.close(self.each.pop().reader)
