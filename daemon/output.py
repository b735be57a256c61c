"""Data on stdout: a table on a terminal, tab-separated lines in a pipe, or one JSON document.

The columns are the same in all three. A pipe gets no head, times in ISO 8601 and UTC,
durations in seconds; a terminal gets what people like to read.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from jobsd.clock import utc_now
from jobsd.text import one_line

from .program import note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, object]

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def print_json(document: object) -> None:
    """Print one JSON document."""
    print_line(json.dumps(document, default=_as_json, ensure_ascii=False))


def print_line(text: str) -> None:
    """Print one line of data."""
    sys.stdout.write(f"{text}\n")


def print_document(name: str, text: str, *, as_json: bool) -> None:
    """Print a text that is data as it stands; as JSON under its name."""
    if as_json:
        print_json({name: text})
    else:
        print_line(text)


def tell(sentence: str, facts: Row, *, as_json: bool) -> None:
    """Tell what was done, on stderr; as JSON, which is for programs, its facts on stdout."""
    if as_json:
        print_json(facts)
    else:
        note(sentence)


def print_rows(rows: Iterable[Row], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows; as JSON with all that is in them, else with these columns."""
    if as_json:
        print_json(list(rows))
    elif is_terminal():
        print_table(rows, columns)
    else:
        for row in rows:
            print_line("\t".join(plain(row.get(column)) for column in columns))


def print_facts(facts: Row, *, as_json: bool) -> None:
    """Print the facts of one thing: a line for each, its name before it."""
    if as_json:
        print_json(facts)
        return
    show = human if is_terminal() else plain
    width = max(map(len, facts), default=0) if is_terminal() else 0
    for name, value in facts.items():
        print_line(
            f"{_titled(name):{width}}  {show(value)}" if width else f"{name}\t{show(value)}"
        )


def print_table(rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Print rows for people, each on one line."""
    # Only a terminal pays for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cell = partial(Text, no_wrap=True, overflow="ellipsis")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        # These may be long, and are cut where the line ends; of the others nothing is.
        long = column in {"arguments", "error", columns[-1]}
        table.add_column(cell(_titled(column)), overflow="fold", no_wrap=not long)
    for row in rows:
        table.add_row(*(cell(human(row.get(column))) for column in columns))
    Console(highlight=False).print(table)


def is_terminal() -> bool:
    """Return whether people read stdout."""
    return sys.stdout.isatty()


def plain(value: object) -> str:
    """Return a value for a pipe: one field of one line, whatever it holds."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return f"{value.total_seconds():.3f}"
        case dict() | list() | tuple():
            return json.dumps(value, default=_as_json, ensure_ascii=False)
        case _:
            return one_line(str(value))


def human(value: object) -> str:
    """Return a value for people."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return when(value)
        case timedelta():
            return length(value.total_seconds())
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return one_line(" ".join(f"{key}={plain(held)}" for key, held in pairs)) or "-"
        case _:
            return plain(value)


def when(moment: datetime) -> str:
    """Return how far away a moment is, as people say it."""
    away_s = (moment - utc_now()).total_seconds()
    return f"in {length(away_s)}" if away_s > 0 else f"{length(-away_s)} ago"


def counted(count: int, noun: str) -> str:
    """Return a number of things as people say it."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def length(seconds: float) -> str:
    """Return a duration as people say it: its two largest units."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    rest = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
        rest %= size
    return "".join(([*parts, f"{rest}s"] if rest else parts)[:2])


def _as_json(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return round(value.total_seconds(), 6)
        case _:
            return str(value)


def _titled(column: str) -> str:
    return column.replace("_", " ")
