"""The exposition in the text format of Prometheus, as the client library writes it, but sooner.

A tree with 3,000 queues has 80,000 lines, and a scrape of it waits for them: the library checks
each name and escapes each label of each line, which takes longer. Here each text is escaped
once. What comes out is the same, byte by byte; the tests compare.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .families import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample

_SUFFIXES = {"counter": "_total", "info": "_info"}
_TYPES = {"info": "gauge", "unknown": "untyped"}
_number = lru_cache(maxsize=10_000)(number)


def as_text(families: Iterable[Metric]) -> bytes:
    """Return the families as text."""
    return "".join(line for family in families for line in _lines(family)).encode()


def _lines(family: Metric) -> Iterator[str]:
    name = family.name + _SUFFIXES.get(family.type, "")
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {text}\n"
    yield f"# TYPE {name} {_TYPES.get(family.type, family.type)}\n"
    yield from map(_line, family.samples)


def _line(sample: Sample) -> str:
    value = _number(sample.value)
    if not sample.labels:
        return f"{sample.name} {value}\n"
    labels = ",".join([_label(*each) for each in sorted(sample.labels.items())])
    return f"{sample.name}{{{labels}}} {value}\n"


@lru_cache(maxsize=50_000)
def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'
