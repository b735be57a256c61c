"""The result of a command, and the one renderer that prints it.

A command returns a `Result`. It is printed as one JSON document, as text for people on a
terminal, or as tab-separated lines in a pipe: there without a heading, with times in ISO 8601
and UTC and durations in seconds. Output is shortened on a terminal only; a pipe gets
everything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

import click

from jobsd.daemon.program import note
from jobsd.daemon.values import cells, human, json_text, plain, printable_lines, wrapped
from jobsd.text import one_line

from .table import Column as Column  # noqa: PLC0414 - for modules with tables
from .table import Row, for_people, tab_separated

Pairs = Sequence[tuple[str, object]]

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_COLORS = {
    **dict.fromkeys(("failed", "lost", "gone", "FAIL", "error"), "red"),
    **dict.fromkeys(("silent", "WARN", "blocked", "warning"), "yellow"),
    **dict.fromkeys(("finished", "alive", "OK"), "green"),
    "discarded": "dim",
}


@dataclass(frozen=True, slots=True)
class Format:
    """How a result is printed, by the options, the environment and the terminal."""

    as_json: bool = False
    terminal: bool = False
    width: int | None = None
    height: int | None = None
    color: bool = False
    header: bool = False
    names: bool = False
    columns: tuple[str, ...] = ()

    def paint(self, text: str, style: str) -> str:
        """Return a text in a style, if colours are wanted."""
        code = _STYLES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code and text else text


class Part(Protocol):
    """A part of a command's output."""

    def lines(self, form: Format) -> Iterator[str]:
        """Yield its lines in a format; no text in them can control the terminal."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with described columns.

    On a terminal, `more` is printed below it, and a table that is `apart` has an empty line
    above it; it describes the subject above it, so it adds no names to those of the result.
    """

    rows: Sequence[Row]
    columns: Sequence[Column]
    more: str = ""
    heading: bool = True
    apart: bool = False

    def lines(self, form: Format) -> Iterator[str]:
        """Yield the lines of the table."""
        columns = _chosen(self.columns, self.rows, form)
        if form.names:
            yield from () if self.apart else self._names(columns)
        elif form.terminal and self.rows:
            if self.apart:
                yield ""
            yield from for_people(
                self.rows, columns, form.width, form.paint, heading=self.heading
            )
            if self.more:
                yield form.paint(self.more, "dim")
        elif not form.terminal:
            if form.header:
                names = "\t".join(column.name for column in columns)
                yield form.paint(names, "bold")
            yield from tab_separated(self.rows, columns, form.paint)

    def _names(self, columns: Sequence[Column]) -> Iterator[str]:
        """Yield the id or name of each row: the first column that identifies."""
        first = next(column for column in columns if not column.rank)
        yield from (plain(row.get(first.name)) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one subject, a line each; on a terminal, `for_people` replaces them."""

    facts: Pairs
    for_people: Pairs | None = None

    def lines(self, form: Format) -> Iterator[str]:
        """Yield a line for each fact, its name before it."""
        if form.names:
            # The first fact names the subject.
            yield plain(self.facts[0][1])
            return
        if not form.terminal:
            for name, value in self.facts:
                yield f"{name}\t{plain(value)}"
            return
        facts = self.facts if self.for_people is None else self.for_people
        width = max((len(name) for name, _ in facts), default=0)
        for name, value in facts:
            text = value if isinstance(value, Shown) else human(value)
            title = name.replace("_", " ").ljust(width + 2)
            room = None if form.width is None else form.width - len(title)
            if room is not None and max(map(cells, text.split()), default=0) > room:
                # A line of its own is better than a break within a word.
                yield title.rstrip()
                yield f"  {text}"
                continue
            first, *rest = wrapped(text, room)
            yield f"{title}{form.paint(first, _COLORS.get(text, ''))}"
            yield from (f"{' ' * len(title)}{line}" for line in rest)


class Shown(str):
    """A text of one line that people get unchanged."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of several lines, all with one name: a terminal gets them indented.

    In a pipe each line has the name before it.
    """

    name: str
    texts: Sequence[str]

    def lines(self, form: Format) -> Iterator[str]:
        """Yield the lines of the texts; none can control the terminal."""
        for text in self.texts:
            first, *rest = map(one_line, text.rstrip().split("\n"))
            if form.terminal:
                head, *more = wrapped(f"{self.name}: {first}", form.width, "  ")
                title = form.paint(self.name, _COLORS.get(self.name, "bold"))
                yield f"\n{title}{head.removeprefix(self.name)}"
                yield from more
                yield from (f"  {line}" for line in rest)
            else:
                yield from (f"{self.name}\t{line}" for line in (first, *rest))


@dataclass(frozen=True, slots=True)
class Value:
    """One value on a line of its own; people may get a sentence instead."""

    value: object
    sentence: str = ""

    def lines(self, form: Format) -> Iterator[str]:
        """Yield the line."""
        if form.terminal and self.sentence:
            yield one_line(self.sentence)
        elif isinstance(self.value, str):
            # A document such as DDL is printed unchanged; on a terminal without control codes.
            yield printable_lines(self.value) if form.terminal else self.value
        else:
            yield plain(self.value)


@dataclass(frozen=True, slots=True)
class Result:
    """The output of a command: `document` if JSON was requested, otherwise `parts`.

    `sentence` goes to stderr, unless JSON was requested. `status` is the exit status.
    """

    document: object
    parts: Sequence[Part] = ()
    sentence: str = ""
    status: int = 0


def rows(
    found: Sequence[Row], columns: Sequence[Column], *, empty: str = "", status: int = 0
) -> Result:
    """Return rows as a result; `empty` is a hint on stderr if there are none."""
    return Result(found, (Table(found, columns),), "" if found else empty, status)


def facts(found: Mapping[str, object], *, status: int = 0) -> Result:
    """Return the facts of one subject as a result."""
    return Result(found, (Facts(tuple(found.items())),), status=status)


def done(sentence: str, found: Mapping[str, object]) -> Result:
    """Return the result of a change: a sentence for people, facts for programs."""
    return Result(found, sentence=sentence)


def document(name: str, text: str) -> Result:
    """Return a text that is printed unchanged, as a result."""
    return Result({name: text}, (Value(text),))


def print_result(result: Result, form: Format) -> int:
    """Print a result and return the command's exit status."""
    if form.as_json:
        print_json(_with_columns(result.document, form.columns))
        return result.status
    for part in result.parts:
        for line in part.lines(form):
            print_line(line)
    if result.sentence:
        note(result.sentence)
    return result.status


def print_json(found: object) -> None:
    """Print one JSON document; characters that stdout can't write become JSON escapes."""
    encoding = (sys.stdout.encoding or "utf-8").lower().replace("-", "")
    print_line(json_text(found, ascii_only=encoding != "utf8"))


def print_line(text: str) -> None:
    """Print one line of data."""
    sys.stdout.write(f"{text}\n")


def colored(value: object) -> str:
    """Return the style of a state, a level or another word."""
    return _COLORS.get(str(value), "")


def format_of(  # noqa: PLR0913 - the options of output
    *,
    as_json: bool = False,
    form: Literal["json", "tsv", "name"] | None = None,
    ids: bool = False,
    wide: bool = False,
    header: bool = False,
    columns: str | None = None,
    color: Literal["auto", "always", "never"] = "auto",
) -> Format:
    """Return the format that options ask for, in this environment, on this stdout.

    Raises:
        click.UsageError: if they ask for two forms.
    """
    given = form, "json" if as_json else None, "name" if ids else None
    asked = {each for each in given if each is not None}
    if len(asked) > 1:
        raise click.UsageError(f"the output has one form, not {' and '.join(sorted(asked))}")
    # A form that is asked for is the same on a terminal.
    terminal = sys.stdout.isatty() and not asked
    width, height = _size() if terminal else (None, None)
    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    return Format(
        as_json="json" in asked,
        terminal=terminal,
        width=None if wide else width,
        height=None if wide else height,
        color=_wants_color(color, terminal=terminal),
        header=header or "tsv" in asked,
        names="name" in asked,
        columns=names,
    )


def _size() -> tuple[int, int]:
    """Return columns and lines of the terminal, from variables or the terminal itself."""
    import shutil  # it loads modules for archives, for which no pipe should wait

    return shutil.get_terminal_size()


def _wants_color(color: str, *, terminal: bool) -> bool:
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return terminal and os.environ.get("TERM") != "dumb"


def _chosen(columns: Sequence[Column], rows: Sequence[Row], form: Format) -> list[Column]:
    """Return the columns to print: the requested ones, or the default of the medium."""
    if not form.columns:
        other = "pipe" if form.terminal else "terminal"
        return [column for column in columns if column.on != other]
    known = {column.name: column for column in columns}
    known |= {name: Column(name) for name in (rows[0] if rows else ()) if name not in known}
    _require_known(form.columns, known, rows)
    # They were requested, so none is left out.
    return [replace(known.get(name, Column(name)), rank=0) for name in form.columns]


def _with_columns(found: object, names: tuple[str, ...]) -> object:
    """Return rows with these columns only; any other document unchanged."""
    if not names or not isinstance(found, list):
        return found
    rows = cast("list[dict[str, object]]", found)
    if rows:
        _require_known(names, rows[0], rows)
    return [{name: row.get(name) for name in names} for row in rows]


def _require_known(names: Iterable[str], known: Iterable[str], rows: Sequence[Row]) -> None:
    """Refuse the name of a column that no row has; without rows, no column is known."""
    if rows and (unknown := [name for name in names if name not in set(known)]):
        fault = f"there is no column {unknown[0]!r}; the columns are {', '.join(known)}"
        ctx = click.get_current_context(silent=True)
        raise click.BadParameter(fault, ctx, param_hint="'--columns'")
