"""Waits and bounds that are about us: what the machine keeps anybody waiting is taken off.

"Within a second" is promised for a machine that has a processor and a disk for us. Linux
tells for how long it had none for somebody; where it does not, a bound is what it says.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

_STALLED_MAX = 0.8
"""The part of a time that may be taken off: a wait must end on the busiest machine."""


class Took(float):
    """Seconds that something took; below a bound if it had been without the stalls."""

    least: float

    def __new__(cls, seconds: float, stalled_s: float = 0.0) -> Self:
        """Take off what the machine has stalled meanwhile, to get the least it took."""
        took = super().__new__(cls, seconds)
        took.least = seconds - min(stalled_s, seconds * _STALLED_MAX)
        return took

    def __lt__(self, bound: float, /) -> bool:
        """Return whether it was quicker, as far as that was up to us."""
        return self.least < bound


class Stopwatch:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._began, self._stalled_s = monotonic(), _stalled_s()

    def took(self) -> Took:
        """Return how long it is ago."""
        return Took(monotonic() - self._began, _stalled_s() - self._stalled_s)

    def over(self, bound_s: float) -> bool:
        """Return whether it is longer ago; cheap before that."""
        return monotonic() - self._began > bound_s and not self.took() < bound_s


def wait_until(condition: Callable[[], object], within_s: float = 10.0) -> Took:
    """Wait for a condition; return what it took."""
    watch, pause = Stopwatch(), threading.Event()
    while not condition():
        assert not watch.over(within_s), f"not within {within_s} s"
        pause.wait(0.005)
    return watch.took()


def _stalled_s() -> float:
    """Return for how long, since the machine started, one of us may have been kept waiting."""
    # Told as an average over the processors; it may have been one of them all the time.
    total_us = sum(map(_some_us, ("cpu", "io", "memory")))
    return total_us * (os.cpu_count() or 1) / 1e6


def _some_us(resource: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        some = Path(f"/proc/pressure/{resource}").read_text(encoding="ascii")
        return int(some.partition("total=")[2].split()[0])
    return 0
