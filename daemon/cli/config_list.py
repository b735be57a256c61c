"""Prints every setting with its effective value as a table."""

from collections.abc import Iterator
from typing import cast

from jobsd.configuration import listed
from jobsd.daemon import values

from .project import Project

Row = dict[str, object]


def settings(project: Project, *, for_people: bool) -> Iterator[Row]:
    """Yield each setting as a start would read it; URLs are without their passwords.

    People get times with units, programs get seconds.

    Raises:
        ConfigurationError: with every fault of files, environment and flags.
    """
    for row in listed.settings(project.root, project.environ, project.flags):
        value = _with_units(row["value"]) if for_people and row["seconds"] else row["value"]
        yield {"setting": row["setting"], "value": value, "source": row["source"]}


def _with_units(value: object) -> object:
    match value:
        case int() | float():
            return values.length(float(value))
        case dict():
            each = cast("dict[str, float]", value).items()
            return ", ".join(f"{queue}: {values.length(seconds)}" for queue, seconds in each)
        case _:
            return value
