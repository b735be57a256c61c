"""Makes families of metrics of the client library, of figures by label."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import core

from .figures import Durations

Sample = tuple[Sequence[str], float]


def gauge(name: str, text: str, *, value: float) -> core.Metric:
    """Return a gauge without labels."""
    return gauges(name, text, (), [((), value)])


def gauges(
    name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]
) -> core.Metric:
    """Return a gauge with these labels, and a value for each of their values."""
    family = core.GaugeMetricFamily(f"jobsd_{name}", text, labels=labels)
    for values, figure in samples:
        family.add_metric(values, figure)
    return family


def counter(
    name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]
) -> core.Metric:
    """Return a counter with these labels, and a value for each of their values."""
    family = core.CounterMetricFamily(f"jobsd_{name}", text, labels=labels)
    for values, figure in samples:
        family.add_metric(values, figure)
    return family


def histogram(
    name: str,
    text: str,
    label: str,
    durations: Mapping[str, Durations],
    bounds_s: Sequence[float],
) -> core.Metric:
    """Return a histogram of the durations of each queue, or of each class."""
    family = core.HistogramMetricFamily(f"jobsd_{name}", text, labels=(label,))
    # OpenMetrics has one spelling for each number.
    bounds = [*(str(float(bound)) for bound in bounds_s), "+Inf"]
    for value, each in durations.items():
        family.add_metric(
            (value,), list(zip(bounds, accumulate(each.counts), strict=True)), each.sum_s
        )
    return family


def flat(nested: Mapping[str, Mapping[str, int]]) -> Iterator[Sample]:
    """Yield samples of two labels."""
    return (
        ((outer, inner), figure)
        for outer, counts in nested.items()
        for inner, figure in counts.items()
    )


def keyed(counts: Mapping[str, int]) -> Iterator[Sample]:
    """Yield samples of one label."""
    return (((name,), figure) for name, figure in counts.items())


def of(names: Sequence[str], figures: Mapping[str, float]) -> Iterator[Sample]:
    """Yield a sample of one label for each of these names, 0 if there is no figure."""
    return (((name,), figures.get(name, 0.0)) for name in names)
