"""Rows as lines: a table that fits a terminal, records for rows too wide, or fields with tabs.

Columns have ranks; those of rank 0 identify a row (an id, a queue, a state, a process id, a
name). If a line is too long, first all columns take their brief form, then columns that may be
cut are cut, and then the one of the highest rank is left out, until the rest fits. A name is
cut in its middle, and never below 40 cells; an id is never cut. Where even the identifying
columns do not fit, only the rows that are too wide print as lines of `name: value`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jobsd.daemon.values import cells, cut, cut_middle, human, number, plain, words_cut, wrapped

Row = Mapping[str, object]

_GAP = "  "
_CUT_MIN = 10
"""The default of the minimum width of a column that may be cut."""
_NAME_MIN = 40
"""The width to which a name may be cut."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in a pipe and in JSON, and its form for people.

    `rank` 0 identifies. `brief` is a shorter form, `cuts` means that the end may be cut off,
    down to `least` cells, `wraps` that the last column goes on in the next line, between words.
    Other texts are names, which are cut in the middle; numbers are never cut.
    `on` limits it to a pipe or to a terminal, `style` is the colour of a value.
    """

    name: str
    title: str = ""
    rank: int = 0
    show: Callable[[Any], str] = human
    brief: Callable[[Any], str] | None = None
    cuts: bool = False
    least: int = _CUT_MIN
    wraps: bool = False
    right: bool = False
    on: Literal["both", "terminal", "pipe"] = "both"
    style: Callable[[Any], str] | None = None

    @property
    def heading(self) -> str:
        """The heading on a terminal."""
        return self.title or self.name.replace("_", " ").upper()

    def cut(self, text: str, width: int) -> str:
        """Return a value of a line that fits into this width."""
        if self.wraps:
            return text
        return cut(text, width) if self.cuts else cut_middle(text, width)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A column as it will be printed: its fields, and its maximum width."""

    column: Column
    fields: list[str]
    width: int


def tab_separated(
    rows: Sequence[Row], columns: Sequence[Column], paint: Callable[[str, str], str]
) -> Iterator[str]:
    """Yield a line of fields for each row, with all columns."""
    for row in rows:
        yield "\t".join(_painted(plain(row.get(c.name)), c, row, paint) for c in columns)


def for_people(
    rows: Sequence[Row],
    columns: Sequence[Column],
    width: int | None,
    paint: Callable[[str, str], str],
    *,
    heading: bool = True,
) -> Iterator[str]:
    """Yield the lines of a table that is at most `width` wide; None: as wide as it gets."""
    wide = set[int]() if width is None else _too_wide(rows, columns, width)
    narrow = [row for at, row in enumerate(rows) if at not in wide]
    fitted = [_fitted(column, narrow, column.show) for column in columns]
    if width is not None:
        fitted = _fit(fitted, narrow, width)
    if heading and narrow:
        yield paint(_line([(f.column.heading, f) for f in fitted]), "bold")
    lines = iter(range(len(narrow)))
    for at, row in enumerate(rows):
        if at and not wide.isdisjoint((at - 1, at)):
            yield ""
        if at in wide:
            yield from _record(row, columns, width or 0)
            continue
        number_of_line = next(lines)
        fields = [(f.fields[number_of_line], f) for f in fitted]
        if fitted[-1].column.wraps:
            yield from _wrapped_line(fields, row, paint)
        else:
            yield _line(fields, row, paint)


def _too_wide(rows: Sequence[Row], columns: Sequence[Column], width: int) -> set[int]:
    """Return the positions of the rows whose identifying fields do not fit, the widest ones."""
    naming = [column for column in columns if not column.rank]
    fields = [[_least_of(_fitted(c, [row], c.brief or c.show)) for c in naming] for row in rows]
    taken = [cells(column.heading) for column in naming]
    room = width - len(_GAP) * (len(naming) - 1)
    wide = set[int]()
    for at in sorted(range(len(rows)), key=lambda at: sum(fields[at])):
        wider = list(map(max, taken, fields[at]))
        if sum(wider) > room:
            wide.add(at)
        else:
            taken = wider
    return wide


def _fitted(column: Column, rows: Sequence[Row], show: Callable[[Any], str]) -> _Fitted:
    fields = [show(row.get(column.name)) for row in rows]
    widest = max(map(cells, [column.heading, *fields]))
    return _Fitted(column, fields, widest)


def _fit(fitted: list[_Fitted], rows: Sequence[Row], width: int) -> list[_Fitted]:
    """Return the columns that fit."""
    for f in sorted(fitted, key=lambda f: -f.column.rank):
        if _taken(fitted) > width and f.column.brief is not None:
            fitted[fitted.index(f)] = _fitted(f.column, rows, f.column.brief)
    while _least(fitted) > width:
        last = max(fitted, key=lambda f: f.column.rank)
        if not last.column.rank:
            break  # Only the headings are too wide: all rows are records.
        fitted.remove(last)
    return _cut(fitted, width)


def _cut(fitted: list[_Fitted], width: int) -> list[_Fitted]:
    """Cut the columns, that of the highest rank first, until all fit."""
    too_much = _taken(fitted) - width
    cut_to: dict[str, int] = {}
    for f in sorted(fitted, key=lambda f: -f.column.rank):
        if too_much > 0:
            less = min(too_much, f.width - _least_of(f))
            cut_to[f.column.name] = f.width - less
            too_much -= less
    return [replace(f, width=cut_to.get(f.column.name, f.width)) for f in fitted]


def _taken(fitted: Sequence[_Fitted]) -> int:
    return sum(f.width for f in fitted) + len(_GAP) * (len(fitted) - 1)


def _least(fitted: Sequence[_Fitted]) -> int:
    return sum(map(_least_of, fitted)) + len(_GAP) * (len(fitted) - 1)


def _least_of(fitted: _Fitted) -> int:
    column = fitted.column
    if column.show is number:
        return fitted.width
    least = column.least if column.cuts or column.wraps else _NAME_MIN
    return min(fitted.width, max(least, cells(column.heading)))


def _wrapped_line(
    fields: list[tuple[str, _Fitted]], row: Row, paint: Callable[[str, str], str]
) -> Iterator[str]:
    """Yield a row; its last field goes on below it, if long words have more room there."""
    *others, (text, last) = fields
    taken = _taken([fitted for _, fitted in fields])
    if max(map(cells, text.split()), default=0) > last.width:
        yield _line(others, row, paint)
        room = taken - len(_GAP)
        yield from (f"{_GAP}{line}" for line in wrapped(words_cut(text, room), room))
        return
    first, *rest = wrapped(text, last.width)
    yield _line([*others, (first, last)], row, paint)
    indent = " " * (taken - last.width)
    yield from (f"{indent}{line}" for line in rest)


def _line(
    fields: list[tuple[str, _Fitted]],
    row: Row | None = None,
    paint: Callable[[str, str], str] | None = None,
) -> str:
    line = ""
    for position, (text, fitted) in enumerate(fields):
        kept = fitted.column.cut(text, fitted.width)
        padding = " " * (fitted.width - cells(kept))
        if row is not None and paint is not None:
            kept = _painted(kept, fitted.column, row, paint)
        last = position == len(fields) - 1
        line += padding + kept if fitted.column.right else kept + ("" if last else padding)
        line += "" if last else _GAP
    return line.rstrip()


def _painted(text: str, column: Column, row: Row, paint: Callable[[str, str], str]) -> str:
    return paint(text, column.style(row.get(column.name))) if column.style else text


def _record(row: Row, columns: Sequence[Column], width: int) -> Iterator[str]:
    for column in columns:
        name = column.heading.lower()
        text = column.show(row.get(column.name))
        if column.rank and text == "-":
            continue
        if column.show is not number:
            text = column.cut(text, max(width - cells(name) - 2, _CUT_MIN))
        yield f"{name}: {text}"
