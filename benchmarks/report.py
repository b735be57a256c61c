"""Tells what a benchmark came to: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .pairs import Row, Side

_WORDS = {"case", "contender", "to reach"}
_COSTS = {
    "wal_bytes": "WAL B",
    "statements": "stmts",
    "transactions": "tx",
    "round_trips": "trips",
    "client_cpu_us": "client µs",
    "server_cpu_us": "server µs",
}


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
    }


def as_json(name: str, rows: list[Row], settings: dict[str, str]) -> str:
    """Return one document with everything that was measured."""
    document = {
        "benchmark": name,
        "machine": machine(),
        "server": settings,
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def show(name: str, rows: list[Row], settings: dict[str, str]) -> None:
    """Print a line for each contender, and what they were measured on."""
    console = _console()
    table = Table(title=f"{name}: medians; costs are per job", title_justify="left")
    columns = [column for column in _columns(rows) if _is_reported(column, rows)]
    for title in ("case", "contender", *(column.title for column in columns), "to reach"):
        table.add_column(title, justify="left" if title in _WORDS else "right")
    for row in rows:
        table.add_row(row.case, *_cells(row.subject, row, columns), row.target)
        if row.reference is not None:
            table.add_row("", *_cells(row.reference, row, columns), "")
        table.add_section()
    console.print(table)
    facts = {**machine(), **{f"PostgreSQL {key}": value for key, value in settings.items()}}
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), highlight=False)


def _console() -> Console:
    """Return one that is wide enough: who pipes this wants the figures whole."""
    console = Console()
    return console if console.is_terminal else Console(width=180)


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    report: Callable[[Side, Row], str]


def _columns(rows: list[Row]) -> Iterator[_Column]:
    for figure in dict.fromkeys(figure for row in rows for figure in row.subject.figures):
        title = figure.replace("_per_s", "/s").replace("_per_min", "/min").replace("_", " ")
        yield _Column(title, partial(_figure, figure))
    yield _Column("ratio [least, most]", _ratio)
    for cost, title in _COSTS.items():
        yield _Column(title, partial(_cost, cost))


def _is_reported(column: _Column, rows: list[Row]) -> bool:
    """Return whether anything is to be said in this column."""
    sides = [(side, row) for row in rows for side in (row.subject, row.reference) if side]
    return any(column.report(side, row) for side, row in sides)


def _cells(side: Side, row: Row, columns: list[_Column]) -> list[str]:
    return [side.name, *(column.report(side, row) for column in columns)]


def _figure(name: str, side: Side, _row: Row) -> str:
    return _number(side.figures.get(name))


def _cost(name: str, side: Side, _row: Row) -> str:
    return _number(getattr(side.usage, name))


def _ratio(side: Side, row: Row) -> str:
    if row.ratio is None or side is not row.subject:
        return ""
    return f"{row.ratio:.2f} [{row.ratio_lowest:.2f}, {row.ratio_highest:.2f}]"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
