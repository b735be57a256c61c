"""The end of the server's log, which errors quote."""

import os
from pathlib import Path

from .location import Location

_TAIL_BYTES = 8192
_LINES = 10
_NOISE = ("redirecting log output to logging collector", "Future log output will appear")


def last_lines(location: Location) -> tuple[str, ...]:
    """Return the last lines of the last start, oldest first; none where none can be read."""
    lines = _tail(location.start_log)
    try:
        began = location.start_log.stat().st_mtime
        newest = max(location.logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
        if newest.stat().st_mtime >= began:
            lines += _tail(newest)
    except (OSError, ValueError):  # no log yet
        pass
    useful = [line for line in lines if not any(noise in line for noise in _NOISE)]
    return tuple(useful[-_LINES:])


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return []
