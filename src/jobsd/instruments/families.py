"""Families of metrics, as the client library writes them: `metrics` says which there are."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.utils import (
    floatToGoString,  # pyright: ignore[reportUnknownVariableType]
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from .figures import Durations

number = cast("Callable[[float], str]", floatToGoString)


def names(family: Metric) -> set[str]:
    """Return the names of a family and of its samples."""
    return {family.name, *(sample.name for sample in family.samples)}


def gauge(name: str, text: str, *, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(f"jobsd_{name}", text, value=value)


def gauges(
    name: str,
    text: str,
    labels: Sequence[str],
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    """Return a gauge with these labels, and a value for each of their values."""
    family = GaugeMetricFamily(f"jobsd_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def counter(
    name: str,
    text: str,
    labels: Sequence[str],
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    """Return a counter with these labels, and a value for each of their values."""
    family = CounterMetricFamily(f"jobsd_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def histogram(
    name: str,
    text: str,
    label: str,
    durations: Mapping[str, Durations],
    bounds_s: Sequence[float],
) -> Metric:
    """Return a histogram of the durations of each queue, or of each class."""
    family = HistogramMetricFamily(f"jobsd_{name}", text, labels=(label,))
    # As the library writes them: OpenMetrics has one spelling for each number.
    bounds = [number(bound) for bound in (*bounds_s, math.inf)]
    for value, each in durations.items():
        buckets = list(zip(bounds, map(float, accumulate(each.counts)), strict=True))
        family.add_metric((value,), buckets, each.sum_s)
    return family


def flat(nested: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield samples of two labels."""
    for outer, counts in nested.items():
        for inner, count in counts.items():
            yield (outer, inner), count


def keyed(counts: Mapping[str, int]) -> Iterator[tuple[tuple[str], float]]:
    """Return samples of one label."""
    return (((key,), count) for key, count in counts.items())
