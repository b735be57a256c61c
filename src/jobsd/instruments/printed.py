"""What jobs print, as lines of the log: so each line of it is one JSON object, with its job.

Each thread has a line of its own in the making: those of two jobs are never mixed. What is
written past Python (by C code, or a program that a job starts) comes by `descriptors`.
"""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

from .aloud import was_said

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_MAX = 8192
"""Characters without an end of line after which one is made."""


class Printed(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` in a process whose log is not for people.

    `descriptor` is for programs that are started with it.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, tell: Callable[[str], None], descriptor: int = 1) -> None:
        self._tell = tell
        self._descriptor = descriptor
        self._unfinished = threading.local()
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the log, for programs that are started with it."""
        return self._descriptor

    def reconfigure(self, **_: Any) -> None:  # noqa: ANN401 - as the stream has it
        """Change nothing: lines are told one by one, in UTF-8."""

    def write(self, text: str) -> int:
        """Tell each line that is complete; keep the rest for the next call."""
        if was_said():
            return len(text)
        *lines, rest = (getattr(self._unfinished, "text", "") + text).split("\n")
        if len(rest) > LINE_MAX:
            lines.append(rest)
            rest = ""
        self._unfinished.text = rest
        for line in lines:
            self._tell(line)
        return len(text)


class _Bytes(io.RawIOBase):
    """What is written as bytes; like the text, in lines."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever bytes() takes
        raw = bytes(data)
        self._printed.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)
