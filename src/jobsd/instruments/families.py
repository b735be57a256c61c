"""Families of metrics: plain values, which the client library's own are made from when asked.

The library keeps a dictionary of labels for each sample, and a tree with 3,000 queues has
80,000 of them. So `plain_text` writes these as they are, and whoever wants the library's
(OpenMetrics, `metrics --json`) pays for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias, cast

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.utils import (
    floatToGoString,  # pyright: ignore[reportUnknownVariableType]
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from .figures import Durations

    Sample = tuple[tuple[str, ...], float]
    AnyFamily: TypeAlias = "Family | Histogram | Info"

number = cast("Callable[[float], str]", floatToGoString)

_LIBRARY = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


@dataclass(frozen=True, slots=True)
class Family:
    """A counter or a gauge: the values of its labels, and the figure of each."""

    name: str
    text: str
    kind: str
    labels: Sequence[str]
    samples: Sequence[Sample]

    def metric(self) -> Metric:
        """Return the same for the library."""
        family: CounterMetricFamily | GaugeMetricFamily = _LIBRARY[self.kind](
            self.name, self.text, labels=self.labels
        )
        for values, value in self.samples:
            family.add_metric(values, value)
        return family


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, for each value of one label."""

    name: str
    text: str
    label: str
    durations: Mapping[str, Durations]
    bounds_s: Sequence[float]

    @property
    def bounds(self) -> list[str]:
        """The upper bounds of the buckets as the library writes them.

        OpenMetrics has one spelling for each number.
        """
        return [number(bound) for bound in (*self.bounds_s, math.inf)]

    def metric(self) -> Metric:
        """Return the same for the library."""
        family = HistogramMetricFamily(self.name, self.text, labels=(self.label,))
        bounds = self.bounds
        for value, each in self.durations.items():
            buckets = list(zip(bounds, map(float, accumulate(each.counts)), strict=True))
            family.add_metric((value,), buckets, each.sum_s)
        return family


@dataclass(frozen=True, slots=True)
class Info:
    """One sample that is always 1, and tells something by its labels."""

    name: str
    text: str
    facts: Mapping[str, str]

    def metric(self) -> Metric:
        """Return the same for the library."""
        return InfoMetricFamily(self.name, self.text, dict(self.facts))


def gauge(name: str, text: str, *, value: float) -> Family:
    """Return a gauge without labels."""
    return gauges(name, text, (), [((), value)])


def gauges(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Family:
    """Return a gauge with these labels, and a value for each of their values."""
    return Family(f"jobsd_{name}", text, "gauge", labels, list(samples))


def counter(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Family:
    """Return a counter with these labels, and a value for each of their values."""
    return Family(f"jobsd_{name}", text, "counter", labels, list(samples))


def histogram(
    name: str,
    text: str,
    label: str,
    durations: Mapping[str, Durations],
    bounds_s: Sequence[float],
) -> Histogram:
    """Return a histogram of the durations of each queue, or of each class."""
    return Histogram(f"jobsd_{name}", text, label, durations, bounds_s)


def flat(nested: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield samples of two labels."""
    for outer, counts in nested.items():
        for inner, count in counts.items():
            yield (outer, inner), count


def keyed(counts: Mapping[str, int]) -> Iterator[tuple[tuple[str], float]]:
    """Return samples of one label."""
    return (((key,), count) for key, count in counts.items())
