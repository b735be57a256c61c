"""What jobs print, as lines of the log: so each line of it is one JSON object, with its job.

Each thread has a line of its own in the making: those of two jobs are never mixed. What is
written past Python (by a program that a job starts) goes to the descriptor as ever.
"""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_MAX = 8192
"""Characters without an end of line after which one is made."""


class Printed(io.TextIOBase):
    """Stands for `sys.stdout` in a process whose log is not for people."""

    encoding = "utf-8"

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._unfinished = threading.local()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the log, for programs that are started with it."""
        return 1

    def write(self, text: str) -> int:
        """Tell each line that is complete; keep the rest for the next call."""
        *lines, rest = (getattr(self._unfinished, "text", "") + text).split("\n")
        if len(rest) > LINE_MAX:
            lines.append(rest)
            rest = ""
        self._unfinished.text = rest
        for line in lines:
            self._tell(line)
        return len(text)
