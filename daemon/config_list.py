"""Prints every setting with its effective value as a table."""

from collections.abc import Iterator
from typing import Any

from jobsd.configuration import listed

from .project import Project
from .table import Column
from .values import length, plain

Row = dict[str, Any]


def _text(value: object) -> str:
    return plain(value) or "-"


COLUMNS = (
    Column("setting", show=_text),
    Column("value", show=_text, on="pipe"),
    Column("shown", "VALUE", show=_text, cuts=True, on="terminal"),
    Column("source", "FROM", show=_text, rank=2, cuts=True),
)


def settings(project: Project) -> Iterator[Row]:
    """Yield each setting as a start would read it; URLs are without their passwords.

    Raises:
        ConfigurationError: with every fault of files, environment and flags.
    """
    found: Iterator[Row] = listed.settings(project.root, project.environ, project.flags)
    for row in found:
        shown = length(float(row["value"])) if row["seconds"] else row["value"]
        yield {**row, "shown": shown}
