"""A day of heartbeats as strips: a cell for each quarter of an hour, a strip for each host."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobsd.heartbeat.log import HeartbeatLog

CELLS = 96
_HOSTS_MAX = 50
_CELL = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Strip:
    """The heartbeats of one host: their number in each cell, and the time of the last one."""

    hostname: str
    cells: list[int]
    last: datetime
    first_cell: int
    """Before it the host had none in this day: it may not have existed."""

    @property
    def empty(self) -> int:
        """The number of empty cells after the first one with heartbeats."""
        return self.cells[self.first_cell :].count(0)


def strips(beats: Iterable[HeartbeatLog], now: datetime) -> list[Strip]:
    """Return the strips of all hosts that have had heartbeats, by name."""
    cells: dict[str, list[int]] = {}
    last: dict[str, datetime] = {}
    for beat in beats:
        age = now - beat.executed_at
        at = CELLS - 1 - max(0, int(age / _CELL))
        counts = cells.setdefault(beat.hostname, [0] * CELLS)
        last[beat.hostname] = max(last.get(beat.hostname, beat.executed_at), beat.executed_at)
        if at >= 0:
            counts[at] += 1
    return [
        Strip(name, counts, last[name], next((i for i, n in enumerate(counts) if n), 0))
        for name, counts in sorted(cells.items())[:_HOSTS_MAX]
    ]
