"""The values that one field of a cron expression allows, and how people write them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from .error import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .phrase import Cadence


@dataclass(frozen=True, slots=True)
class Span:
    """What a field counts, and from where to where."""

    name: str
    low: int
    high: int

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1


SECOND = Span("second", 0, 59)
MINUTE = Span("minute", 0, 59)
HOUR = Span("hour", 0, 23)
DAY = Span("day", 1, 31)
MONTH = Span("month", 1, 12)
WEEKDAY = Span("weekday", 0, 6)
LARGER = {"second": "minute", "minute": "hour", "hour": "day", "day": "month", "month": "year"}


@dataclass(frozen=True, slots=True)
class Field:
    """The allowed values of one field.

    `step` is n where the field was written as "every n" (`*/n`); it changes nothing about
    the values, but hours written so follow elapsed time over a change of the clocks.
    """

    span: Span
    values: frozenset[int]
    step: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether every value is allowed (`*`)."""
        return len(self.values) == self.span.size

    @property
    def is_cadence(self) -> bool:
        """Whether it is `*`, or `*/n` that really repeats within the span."""
        return self.is_full or (self.step is not None and len(self.values) > 1)

    def explicit(self) -> str:
        """Return `*` or the plain list of values: all that croniter is ever given."""
        return "*" if self.is_full else ",".join(map(str, sorted(self.values)))

    def __str__(self) -> str:
        if self.is_full:
            return "*"
        if self.is_cadence:
            return f"*/{self.step}"
        return written(self.span, sorted(self.values))


def full(span: Span) -> Field:
    """Return the field that allows everything."""
    return Field(span, frozenset(range(span.low, span.high + 1)))


def only(span: Span, values: Iterable[int]) -> Field:
    """Return the field that allows just these values."""
    return Field(span, frozenset(values))


def every(span: Span, count: int) -> Field:
    """Return `*/count`: from the span's first value on, every `count`-th."""
    return Field(span, frozenset(range(span.low, span.high + 1, count)), step=count)


def counted(span: Span, cadence: Cadence | None) -> Field:
    """Return the values that a cadence of this span's unit counts to.

    Raises:
        ScheduleError: when it starts at a value that does not exist.
    """
    if cadence is None:
        return full(span)
    if cadence.first is None:
        return every(span, cadence.count)
    if not span.low <= cadence.first <= span.high:
        raise ScheduleError(
            f"there is no {span.name} {cadence.first} to start at",
            f"they go from {span.low} to {span.high}",
        )
    return only(span, range(cadence.first, span.high + 1, cadence.count))


def written(span: Span, values: list[int]) -> str:
    """Return sorted `values` as lists, ranges and steps, the shortest that reads well."""
    step = _even_step(values)
    if step == 1 and len(values) > 2:
        return f"{values[0]}-{values[-1]}"
    if span.high == 59 and step and _covers(span, values, step) and len(values) > 2:
        return f"*/{step}"
    if step and step > 1 and len(values) > 4:
        return f"{values[0]}-{values[-1]}/{step}"
    return ",".join(_runs(values))


def _even_step(values: list[int]) -> int | None:
    gaps = {later - earlier for earlier, later in pairwise(values)}
    return gaps.pop() if len(gaps) == 1 else None


def _covers(span: Span, values: list[int], step: int) -> bool:
    return values == list(range(span.low, span.high + 1, step))


def _runs(values: list[int]) -> list[str]:
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [text for run in runs for text in _run(run)]


def _run(run: list[int]) -> list[str]:
    return [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(value) for value in run]
