"""Tells what the peers came to: a table for people, JSON, or the page of the evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import machine

from .catalog import DRIVER, OURS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rounds import Found

_PAGE = Path(__file__).with_name("page.md")
COLUMNS = {
    "drain_1x1_per_s": "drain 1x1, jobs/s",
    "drain_1x3_per_s": "drain 1x3, jobs/s",
    "drain_2x5_per_s": "drain 2x5, jobs/s",
    "enqueue_per_s": "enqueue one, /s",
    "bulk_per_s": "enqueue bulk, /s",
    "p50_ms": "start p50, ms",
    "p99_ms": "start p99, ms",
    "idle_cpu_s_per_min": "idle CPU, s/min",
    "idle_statements_per_min": "idle statements/min",
    "memory_mib": "memory, MiB",
    "coroutines_noop_per_s": "500 coroutines, jobs/s",
    "coroutines_sleep_per_s": "500 of 20 ms, jobs/s",
}
_LOW_IS_GOOD = {
    "p50_ms",
    "p99_ms",
    "idle_cpu_s_per_min",
    "idle_statements_per_min",
    "memory_mib",
}


def markdown(
    found: list[Found], settings: dict[str, str], rounds: int, scale: float = 1.0
) -> str:
    """Return the page.

    Why a queue could not be had is told in short: the rest is about this machine.
    """
    return _PAGE.read_text("utf-8").format(
        rounds=rounds,
        word="round" if rounds == 1 else "rounds",
        scale=f"{scale:g}",
        table="\n".join(_table(found)),
        bulk=_bulk(found),
        settings="\n".join(
            f"| {row.peer} | {row.version or '-'} | {_settings(row)} |" for row in found
        ),
        machine=", ".join(f"{key} {value}" for key, value in machine().items()),
        server=", ".join(f"`{key}` {value}" for key, value in settings.items()),
    )


def _bulk(found: list[Found]) -> str:
    """Return how a bulk enqueue of ours compares, in a sentence; "" where one is missing."""
    rates = {row.peer: row.medians().get("bulk_per_s") for row in found}
    ours, alone = rates.pop(OURS.name, None), rates.pop(DRIVER.name, None)
    others = {peer: rate for peer, rate in rates.items() if rate}
    if not (ours and alone and others):
        return ""
    best = max(others, key=lambda peer: others[peer])
    return (
        f" In bulk jobsd reaches {ours / alone:.2f} of it and {ours / others[best]:.2f} of"
        f" {best}, the fastest other queue, of which the driver alone reaches"
        f" {alone / others[best]:.2f}."
    )


def _settings(row: Found) -> str:
    return row.problem.split(":")[0] or row.settings


def as_json(found: list[Found], settings: dict[str, str]) -> str:
    """Return one document with everything that was measured."""
    rows = [row.document() for row in found]
    document = {"benchmark": "peers", "machine": machine(), "server": settings, "rows": rows}
    return json.dumps(document, indent=2, ensure_ascii=False)


def cells(found: list[Found], names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return each queue with these figures as text, the best of each column marked by `**`."""
    best = {name: _best(name, found) for name in names}
    medians = {row.peer: row.medians() for row in found}
    return [
        (peer, [_cell(figures.get(name), value) for name, value in best.items()])
        for peer, figures in medians.items()
    ]


def _table(found: list[Found]) -> list[str]:
    lines = [f"| queue | {' | '.join(COLUMNS.values())} |", "|---|" + "---:|" * len(COLUMNS)]
    lines += [f"| {peer} | {' | '.join(values)} |" for peer, values in cells(found, COLUMNS)]
    return lines


def _best(name: str, found: list[Found]) -> float | None:
    values = [row.medians()[name] for row in found if row.runs and name in row.medians()]
    if not values:
        return None
    return min(values) if name in _LOW_IS_GOOD else max(values)


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return ""
    text = (
        f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    )
    return f"**{text}**" if value == best else text
