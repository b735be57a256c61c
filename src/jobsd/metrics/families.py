"""Families of metrics as plain values; the client library's own are made on request.

The library keeps a dictionary of labels for each sample, and a tree with 3,000 queues has
80,000 of them. So `plain_text` writes plain values, and only OpenMetrics and `metrics --json`
pay for the library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeAlias, cast

from prometheus_client import core, utils

from .figures import Durations

Sample = tuple[tuple[str, ...], float]
Samples: TypeAlias = "Table | Iterable[Sample]"
AnyFamily: TypeAlias = "Family | Histogram | Info"

number = cast("Callable[[float], str]", utils.floatToGoString)  # pyright: ignore[reportUnknownMemberType]

_LIBRARY = {"counter": core.CounterMetricFamily, "gauge": core.GaugeMetricFamily}


class Table(NamedTuple):
    """Samples as columns: the values of each label, and the figures.

    The garbage collector ignores lists of texts and numbers; tuples, one for each sample, it
    would traverse again and again while they are made.
    """

    columns: Sequence[Sequence[str]]
    figures: Sequence[float]


@dataclass(frozen=True, slots=True)
class Family:
    """A counter or a gauge."""

    name: str
    text: str
    kind: str
    labels: Sequence[str]
    table: Table

    def metric(self) -> core.Metric:
        """Return the family for the library."""
        family: core.CounterMetricFamily | core.GaugeMetricFamily = _LIBRARY[self.kind](
            self.name, self.text, labels=self.labels
        )
        for *values, figure in zip(*self.table.columns, self.table.figures, strict=True):
            family.add_metric(cast("list[str]", values), cast("float", figure))
        return family


@dataclass(frozen=True, slots=True)
class Histogram:
    """The durations of jobs or runs, for each value of one label."""

    name: str
    text: str
    label: str
    durations: Mapping[str, Durations]
    bounds_s: Sequence[float]

    @property
    def bounds(self) -> list[str]:
        """The upper bounds of the buckets in the library's spelling.

        OpenMetrics has one spelling for each number.
        """
        return [number(bound) for bound in (*self.bounds_s, math.inf)]

    def metric(self) -> core.Metric:
        """Return the family for the library."""
        family = core.HistogramMetricFamily(self.name, self.text, labels=(self.label,))
        bounds = self.bounds
        for value, each in self.durations.items():
            buckets = list(zip(bounds, map(float, accumulate(each.counts)), strict=True))
            family.add_metric((value,), buckets, each.sum_s)
        return family


@dataclass(frozen=True, slots=True)
class Info:
    """One sample that is always 1, with facts in its labels."""

    name: str
    text: str
    facts: Mapping[str, str]

    def metric(self) -> core.Metric:
        """Return the family for the library."""
        return core.InfoMetricFamily(self.name, self.text, dict(self.facts))


def gauge(name: str, text: str, *, value: float) -> Family:
    """Return a gauge without labels."""
    return gauges(name, text, (), Table((), [value]))


def gauges(name: str, text: str, labels: Sequence[str], samples: Samples) -> Family:
    """Return a gauge with these labels, and a value for each of their values."""
    return _family(name, text, "gauge", labels, samples)


def counter(name: str, text: str, labels: Sequence[str], samples: Samples) -> Family:
    """Return a counter with these labels, and a value for each of their values."""
    return _family(name, text, "counter", labels, samples)


def _family(name: str, text: str, kind: str, labels: Sequence[str], samples: Samples) -> Family:
    table = samples if isinstance(samples, Table) else _table(labels, list(samples))
    return Family(f"jobsd_{name}", text, kind, labels, table)


def _table(labels: Sequence[str], samples: list[Sample]) -> Table:
    columns = [[values[at] for values, _ in samples] for at in range(len(labels))]
    return Table(columns, [figure for _, figure in samples])


def histogram(
    name: str,
    text: str,
    label: str,
    durations: Mapping[str, Durations],
    bounds_s: Sequence[float],
) -> Histogram:
    """Return a histogram of the durations of each queue, or of each class."""
    return Histogram(f"jobsd_{name}", text, label, durations, bounds_s)


def flat(nested: Mapping[str, Mapping[str, int]]) -> Table:
    """Return samples of two labels."""
    outer = [name for name, counts in nested.items() for _ in counts]
    inner = [name for counts in nested.values() for name in counts]
    return Table((outer, inner), [n for counts in nested.values() for n in counts.values()])


def keyed(counts: Mapping[str, int]) -> Table:
    """Return samples of one label."""
    return Table((list(counts),), list(counts.values()))


def of(names: Sequence[str], figures: Mapping[str, float]) -> Table:
    """Return a sample of one label for each of these names, 0 if there is no figure."""
    return Table((names,), [figures.get(name, 0.0) for name in names])
