"""Recurring tasks as tables for people."""

import contextlib
from collections.abc import Generator, Iterable
from datetime import timedelta
from typing import Any

from jobsd.daemon.values import brief_moment, human, number, plain
from jobsd.errors import NotFoundError

from .project import Project
from .table import Column

Row = dict[str, Any]


def _in_its_zone(value: object) -> str:
    """Return a moment on the clock of the task: its zone is that of the value."""
    return f"{value:%a %Y-%m-%d %H:%M:%S %Z}" if value else "-"


def _left(value: object) -> str:
    return f"{human(value)} left" if isinstance(value, timedelta) else human(value)


def _passed(value: object) -> str:
    return f"{human(value)} ago" if isinstance(value, timedelta) else human(value)


def _text(value: object) -> str:
    return plain(value) or "-"


# In the layout of `systemctl list-timers`.
COLUMNS = (
    Column("next", rank=4, show=_in_its_zone),
    Column("left", rank=2, show=_left),
    Column("last", rank=6, show=_in_its_zone),
    Column("passed", rank=3, show=_passed),
    Column("key", show=_text),
    Column("schedule", rank=1, show=_text, cuts=True, least=24),
    Column("activates", rank=5, show=_text, cuts=True),
    Column("source", rank=7, show=_text, cuts=True),
)
EMPTY = (
    "there are no recurring tasks; define some in config/recurring.yml, or give a job a"
    " schedule: @job(schedule=…)"
)
HISTORY_COLUMNS = (
    Column("run_at", rank=1, brief=brief_moment),
    Column("enqueued_at", rank=7, brief=brief_moment),
    Column("late", rank=3, right=True),
    Column("job_id", "JOB", show=number, right=True),
    Column("outcome"),
    Column("started_at", "STARTED", rank=5, brief=brief_moment),
    Column("finished_at", "FINISHED", rank=6, brief=brief_moment),
    Column("cause", "CAUSE OF LATENESS", rank=4, show=_text),
)


@contextlib.contextmanager
def expected(project: Project, key: str) -> Generator[None]:
    """Add to the error for a missing task the reason that keeps it in its file.

    Raises:
        NotFoundError: with that cause; it names the line of the task if the file has it.
    """
    from jobsd.configuration.missing_task import explain_missing_task

    try:
        yield
    except NotFoundError as error:
        where = explain_missing_task(project.root, project.environ, key)
        raise NotFoundError(
            f"no task {key!r} is loaded: {where}" if where else str(error)
        ) from error


def for_people(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of the list with a word for a disabled task, and its user."""
    return [row if row["enabled"] else {**row, "left": _disabled(row)} for row in rows]


def _disabled(row: Row) -> str:
    if row["disabled_at"] is None:
        return "disabled"
    return f"disabled by {row['disabled_by']} {brief_moment(row['disabled_at'])}"
