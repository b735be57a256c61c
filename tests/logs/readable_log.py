"""A log that a test can read."""

from __future__ import annotations

import json
import os
from typing import Any

from jobsd.logs import logs


class Log:
    """The reading end of a pipe that a process's log goes to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.dropped = 0

    def configure(
        self,
        form: Any = "json",
        level: str = "info",
        kind: str = "worker",
        name: str = "worker-1",
    ) -> None:
        """Let this process tell everything to the pipe."""
        logs.configure(form, level, kind=kind, name=name, stream=self.writer, dropped=self.drop)

    def drop(self, lines: int) -> None:
        """Count what could not be written."""
        self.dropped += lines

    def text(self) -> str:
        """Return what was written since the last call."""
        parts: list[bytes] = []
        while True:
            try:
                parts.append(os.read(self.reader, 65536))
            except BlockingIOError:
                return b"".join(parts).decode()

    def lines(self) -> list[dict[str, Any]]:
        """Return the objects that were written since the last call."""
        return [json.loads(line) for line in self.text().splitlines()]

    def line(self) -> dict[str, Any]:
        """Return the only object that was written."""
        (line,) = self.lines()
        return line

    def close(self) -> None:
        """End the log."""
        logs.reset()
        os.close(self.reader)
        os.close(self.writer)
