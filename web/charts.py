"""Computes the coordinates of charts, which templates write as SVG.

A chart is one unit wide for each step and a hundred units high; CSS stretches it. The page
shows its figures as a table, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobsd.acts.periods import Period
from jobsd.operations.times import period_text
from jobsd.operations.words import length

if TYPE_CHECKING:
    from jobsd.operations.history import Done

    Steps = Sequence[tuple[datetime, Done]]

HEIGHT = 100.0
_TIMES_S = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 1_800.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: its finished attempts, and the failed ones on top."""

    x: float
    good_y: float
    good: float
    bad_y: float
    bad: float
    reported: str
    period: str
    """When its jobs ended, for a search."""


@dataclass(frozen=True, slots=True)
class Bars:
    """The ended attempts of each step, and their maximum."""

    bars: list[Bar]
    most: int
    width: int
    finished: int
    failing: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Two lines of times, p50 and p95, in pieces, because a step may have no value."""

    p50: list[str]
    p95: list[str]
    most: str
    width: int


_WRITTEN_EVERY = timedelta(minutes=1)


def periods(steps: Steps) -> list[str]:
    """Return for each step when its jobs ended, for a search.

    Trees write their counts once a minute: some jobs of a step ended in the minute before it.
    """
    step = steps[1][0] - steps[0][0] if len(steps) > 1 else _WRITTEN_EVERY
    return [period_text(Period(at - _WRITTEN_EVERY, at + step)) for at, _ in steps]


def bars(steps: Steps) -> Bars:
    """Return the bars of the steps."""
    most = max((done.attempts for _, done in steps), default=0)
    scale = HEIGHT / most if most else 0.0
    drawn: list[Bar] = []
    for x, ((at, done), period) in enumerate(zip(steps, periods(steps), strict=True)):
        if not done.attempts:
            continue
        failing = done.failed + done.retried
        good, bad = (done.attempts - failing) * scale, failing * scale
        sentence = f"{at:%H:%M} UTC: {done.finished:,} finished, {failing:,} failed"
        heights = (HEIGHT - good, good, HEIGHT - good - bad, bad)
        drawn.append(Bar(x + 0.1, *heights, sentence, period))
    return Bars(
        drawn,
        most,
        len(steps),
        sum(done.finished for _, done in steps),
        sum(done.failed + done.retried for _, done in steps),
    )


def lines(steps: Steps, what: str) -> Lines:
    """Return the lines of "wait" or "run"."""
    p50 = [getattr(done, f"{what}_p50_s") for _, done in steps]
    p95 = [getattr(done, f"{what}_p95_s") for _, done in steps]
    most = max((value for value in p95 if value is not None), default=0.0)
    top = next((each for each in _TIMES_S if each >= most), most)
    return Lines(_pieces(p50, top), _pieces(p95, top), length(top), len(steps))


def _pieces(values: list[float | None], top: float) -> list[str]:
    """Return the points of each piece; a piece of one point is as wide as its step."""
    pieces: list[list[str]] = [[]]
    for x, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        y = HEIGHT - HEIGHT * value / top
        if not pieces[-1]:
            pieces[-1].append(f"{x:g},{y:.1f}")
        pieces[-1].append(f"{x + 0.5:g},{y:.1f}")
        if x + 1 == len(values) or values[x + 1] is None:
            pieces[-1].append(f"{x + 1:g},{y:.1f}")
    return [" ".join(piece) for piece in pieces if piece]
