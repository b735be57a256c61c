"""The rows of a bulk as JSON, for drivers without a common interface to COPY."""

import json
import re
from collections.abc import Iterable, Iterator

LETTERS_MAX = 4_000_000
"""Of one list: it is a parameter, which is held in memory several times on both sides."""

_OF_JSON = ("arguments", "context")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r"}


def as_json(lines: Iterable[str], columns: tuple[str, ...]) -> Iterator[str]:
    """Return lists of the rows that the lines hold; some columns are JSON themselves."""
    rows: list[str] = []
    letters = 0
    for line in lines:
        row = _row(line.removesuffix("\n").split("\t"), columns)
        if rows and letters + len(row) > LETTERS_MAX:
            yield f"[{','.join(rows)}]"
            rows, letters = [], 0
        rows.append(row)
        letters += len(row)
    if rows:
        yield f"[{','.join(rows)}]"


def _row(fields: list[str], columns: tuple[str, ...]) -> str:
    named = zip(columns, fields, strict=True)
    pairs = (f'"{name}":{_value(name, field)}' for name, field in named)
    return f"{{{','.join(pairs)}}}"


def _value(name: str, field: str) -> str:
    if field == r"\N":
        return "null"
    text = _unescaped(field)
    return text if name in _OF_JSON else json.dumps(text, ensure_ascii=False)


def _unescaped(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), field)
