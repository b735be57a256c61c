"""Formats values as text, for programs and for people."""

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import cast

from jobsd.operations.words import as_json, counted, length, when
from jobsd.text import one_line

__all__ = [
    "as_json",
    "brief_moment",
    "cells",
    "counted",
    "cut",
    "cut_middle",
    "human",
    "json_text",
    "length",
    "moment",
    "number",
    "plain",
    "printable_lines",
    "when",
    "words_cut",
    "wrapped",
]


def plain(value: object) -> str:
    """Return a value for a pipe: one field of one line, whatever characters it has."""
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
            return json_text(cast("object", value))
        case _:
            return one_line(str(value))


def human(value: object) -> str:
    """Return a value for people."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case datetime():
            return moment(value)
        case timedelta():
            return length(value.total_seconds())
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return one_line(" ".join(f"{key}={plain(held)}" for key, held in pairs)) or "-"
        case _:
            return plain(value)


def number(value: object) -> str:
    """Return an id, which people copy, so that no separator splits its digits."""
    return "-" if value is None else str(value)


def moment(value: datetime) -> str:
    """Return a moment in the form of the log, and how far away it is."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} ({when(value)})"


def brief_moment(value: object) -> str:
    """Return how far away a moment is; any other value as in `human`."""
    return when(value) if isinstance(value, datetime) else human(value)


def json_text(document: object, *, ascii_only: bool = False) -> str:
    """Return a document as one line of JSON, without control characters for the terminal."""
    import json  # most output is none, as below

    text = json.dumps(document, default=as_json, ensure_ascii=ascii_only)
    if text.isprintable():
        return text
    # The syntax of JSON itself is printable, so this is within a string.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return text of several lines, without any other control characters."""
    return "\n".join(one_line(line.expandtabs(4)) for line in text.split("\n"))


def cells(text: str) -> int:
    """Return how many cells of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def wrapped(text: str, width: int | None, indent: str = "") -> list[str]:
    """Return a line as lines that fit, broken between words only; at least one."""
    if width is None or cells(text) <= width:
        return [text]
    from textwrap import wrap

    lines = wrap(
        text,
        max(width, 20),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [""]


def cut(text: str, width: int) -> str:
    """Return the part of a text that fits, with an ellipsis for the rest."""
    if cells(text) <= width:
        return text
    kept, left = "", width - 1
    for character in text:
        left -= _cells_of(character)
        if left < 0:
            break
        kept += character
    return f"{kept.rstrip()}…"


def cut_middle(text: str, width: int) -> str:
    """Return the start and the end of a text that fits, with an ellipsis between them."""
    if cells(text) <= width:
        return text
    end_width = (width - 1) // 2
    end = cut(text[::-1], end_width + 1)[-2::-1] if end_width else ""
    return cut(text, width - end_width) + end


def words_cut(text: str, width: int) -> str:
    """Return a text in which each word that is wider than a line is cut in its middle."""
    return " ".join(cut_middle(word, width) for word in text.split(" "))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
