"""Output on descriptors 1 and 2 that does not come from Python, as lines of the log.

C code and the programs that a job starts write there. The descriptors are pipes, which a thread
of the process reads; the log itself is written where it was before. The thread never waits for
long, since a sink that has blocked drops lines, so the writers never wait for long either.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .printed import LINE_MAX

if TYPE_CHECKING:
    from .pipes import Pipes

LAST_S = 0.2
"""How long the exit of the process waits for the last output: a program that was left behind
may hold the pipe open."""


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
            # If one line ended the thread, all others would stay in a pipe that fills up.
            with contextlib.suppress(Exception):
                self._log_line(number, line.decode("utf-8", "backslashreplace"))
