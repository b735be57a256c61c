"""The `recurring_tasks` table: the jobs to run, their schedules, and their sources.

Static tasks come from a file and are changed there; dynamic ones are made, changed and removed
at run time. A person can disable either. The stop is stored beside the definition and stays
until the task is enabled, or its key is gone. The schedulers read all tasks from this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from jobsd import clock, errors, machine, text
from jobsd.database.connection import Session, Statements
from jobsd.enqueueing.on_demand import lent
from jobsd.jobs.job_schedule import is_key
from jobsd.jobs.registry import check_count, check_line
from jobsd.schedules import ScheduleError

from .definition import SHIPPED, StoredTask, TaskDefinition, columns, define

if TYPE_CHECKING:
    from jobsd.jobs.draft import EnqueuedJob

    from .runs import RecurringRun

STATEMENTS = Statements("jobsd.recurring", "tasks.sql")

PAGE = 20_000
"""Tasks that are read at once: whatever their number, each statement keeps its deadline."""

# The columns of the statements `all` and `find`, in their order.
_COLUMNS = (
    *"key phrase time_zone class_name command arguments_json queue_name priority".split(),
    *"tags description static enabled run_at_start on_missed overlap source named_by".split(),
    *"disabled_by planned_from disabled_at last_run_at runs_count".split(),
    *"created_at updated_at".split(),
)
_FIRST_INSTANT = _COLUMNS.index("planned_from")


class _Schedule:
    """`task.schedule` is the phrase, `RecurringTask.schedule(key, …)` makes a task."""

    @overload
    def __get__(
        self, task: None, kind: type[RecurringTask]
    ) -> Callable[..., RecurringTask]: ...
    @overload
    def __get__(self, task: RecurringTask, kind: type[RecurringTask]) -> str: ...
    def __get__(
        self, task: RecurringTask | None, kind: type[RecurringTask]
    ) -> str | Callable[..., RecurringTask]:
        return make if task is None else task.phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringTask(StoredTask):
    """One row of the `recurring_tasks` table; its columns, with `phrase` for `schedule`.

    Either `class_name` or `command` is given. `time_zone` applies if the schedule names none.
    `static` tasks come from a file: `source` is FILE:LINE, and `named_by` the process that has
    stored it. `enabled` is whether the task runs by its schedule; if a person has disabled it,
    `disabled_by` is the name and `disabled_at` the time. `updated_at` is the version of the
    definition: a run changes `last_run_at` and `runs_count` only. Instants up to
    `planned_from` do not belong to the task.
    """

    schedule = _Schedule()

    def __repr__(self) -> str:
        return text.facts_of(
            self,
            key=self.key,
            schedule=self.phrase,
            class_name=self.class_name,
            command=self.command,
            enabled=None if self.enabled else False,
            last_run_at=self.last_run_at,
        )

    @property
    def name(self) -> str:
        """The key; Solid Queue calls it the name."""
        return self.key

    @property
    def next_run(self) -> datetime | None:
        """The next planned instant by this machine's clock; None when it never runs."""
        upcoming = self.next_runs(1)
        return upcoming[0] if upcoming else None

    def next_runs(self, n: int = 5, after: datetime | None = None) -> list[datetime]:
        """Return the next `n` planned instants, in UTC; none for a disabled task."""
        try:
            return self.plan.upcoming(n, after or clock.utc_now()) if self.enabled else []
        except ScheduleError:
            return []

    def history(self, limit: int = 20) -> list[RecurringRun]:
        """Return the latest recurring runs, newest first, with their outcomes.

        Raises:
            Error: for an invalid limit.
        """
        from . import runs  # noqa: PLC0415 - listing tasks enqueues no jobs

        check_count("limit", limit)
        with lent() as session:
            return runs.history(session, self.key, limit)

    def run_now(self) -> EnqueuedJob:
        """Enqueue the task's job now, in addition to its schedule; also if it is disabled.

        Raises:
            UnknownJobError: when this process does not know the job.
            RefusedError: when `overlap` is "skip" and the previous run's job has not ended.
        """
        from . import runs  # noqa: PLC0415

        with lent() as session:
            return runs.run_now(session, self)

    @classmethod
    def all(cls) -> list[RecurringTask]:
        """Return all tasks, by key."""
        with lent() as session:
            return load(session)

    @classmethod
    def find_by(
        cls, *, name: str | None = None, key: str | None = None
    ) -> RecurringTask | None:
        """Return the task of this key, given as `key` or `name`, or None.

        Raises:
            TypeError: when neither is given.
        """
        wanted = name if key is None else key
        if wanted is None:
            raise TypeError("find_by() needs a name")
        with lent() as session:
            return find(session, wanted)

    @classmethod
    def unschedule(cls, key: str) -> None:
        """Delete a task that was made at run time; its history stays.

        Raises:
            NotFoundError: if no task has this key.
            RefusedError: if a file names it.
        """
        with lent() as session:
            remove(session, key)

    def enable(self) -> None:
        """Let the task run by its schedule again; it catches up on no runs.

        Raises:
            NotFoundError: if no task has this key.
            RefusedError: if its file turns it off.
        """
        with lent() as session:
            enable(session, self.key)

    def disable(self, *, by: str | None = None) -> None:
        """Stop the task, also one of a file, until it is enabled; `by` is USER@HOST by default.

        Raises:
            NotFoundError: if no task has this key.
        """
        with lent() as session:
            disable(session, self.key, by=by)


def make(key: str, **settings: Any) -> RecurringTask:  # noqa: ANN401
    """Make a task at run time; its settings are those of recurring.yml.

    They are `schedule`, `class_name` or `command`, `args`, `queue`, `priority`, `tags`,
    `time_zone`, `description`, `enabled`, `run_at_start`, `on_missed` and `overlap`.

    Raises:
        RefusedError: when a task has this key already.
        Error: for an invalid setting.
    """
    definition = define(key, **settings)
    with lent() as session:
        return add(session, definition)


def load(session: Session) -> list[RecurringTask]:
    """Return all tasks, by key."""
    rows: list[tuple[Any, ...]] = []
    while True:
        after = rows[-1][0] if rows else ""
        page = session.fetch(STATEMENTS["all"], {"after": after, "page": PAGE})
        rows += page
        if len(page) < PAGE:
            return [_task(row) for row in rows]


def find(session: Session, key: str) -> RecurringTask | None:
    """Return the task of this key, or None."""
    rows = session.fetch(STATEMENTS["find"], {"key": key}) if is_key(key) else []
    return _task(rows[0]) if rows else None


def get(session: Session, key: str) -> RecurringTask:
    """Return the task of this key.

    Raises:
        NotFoundError: naming the nearest existing key.
    """
    if task := find(session, key):
        return task
    near = text.closest(str(key), [task.key for task in load(session)])
    hint = f"; did you mean {near!r}?" if near else ""
    raise errors.NotFoundError(f"there is no recurring task {key!r}{hint}")


def add(session: Session, definition: TaskDefinition) -> RecurringTask:
    """Store a task that was made at run time.

    Raises:
        RefusedError: when its key is taken.
    """
    if not session.fetch(STATEMENTS["add"], columns(definition)):
        taken = find(session, definition.key)
        by = f" by {taken.source}" if taken and taken.static else ""
        raise errors.RefusedError(f"the key {definition.key!r} is taken{by}")
    return get(session, definition.key)


def change(session: Session, definition: TaskDefinition) -> RecurringTask:
    """Change a task that was made at run time; it stays enabled or disabled.

    Raises:
        NotFoundError: if no task has this key.
        RefusedError: if a file names it.
    """
    if not session.fetch(STATEMENTS["change"], columns(definition)):
        _refuse(get(session, definition.key), "changed")
    return get(session, definition.key)


def remove(session: Session, key: str) -> None:
    """Delete a task that was made at run time; its history stays.

    Raises:
        NotFoundError: if no task has this key.
        RefusedError: if a file names it.
    """
    if not (is_key(key) and session.fetch(STATEMENTS["remove"], {"key": key})):
        _refuse(get(session, key), "removed")


def disable(session: Session, key: str, *, by: str | None = None) -> None:
    """Stop a task; `by` is USER@HOST by default.

    Raises:
        NotFoundError: if no task has this key.
    """
    parameters = {"key": key, "by": check_line("by", by or machine.user_at_host())}
    if not (is_key(key) and session.fetch(STATEMENTS["disable"], parameters)):
        get(session, key)


def enable(session: Session, key: str) -> None:
    """Let a task run by its schedule again.

    Raises:
        NotFoundError: if no task has this key.
        RefusedError: if its file turns it off.
    """
    if not (is_key(key) and session.fetch(STATEMENTS["enable"], {"key": key})):
        _refuse(get(session, key), "enabled")


def _task(row: tuple[Any, ...]) -> RecurringTask:
    # A start reads ten thousand tasks: only columns that may hold instants are converted.
    instants = map(_in_utc, row[_FIRST_INSTANT:])
    return RecurringTask(**dict(zip(_COLUMNS, (*row[:_FIRST_INSTANT], *instants), strict=True)))


def _in_utc(value: Any) -> Any:  # noqa: ANN401 - any column
    # In UTC, whose offset never changes, datetimes compare as instants.
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _refuse(task: RecurringTask, verb: str) -> None:
    where = f"defined in {task.source}, where it can be changed"
    if task.source == SHIPPED:
        where = f"{SHIPPED}, and a config/recurring.yml, also an empty one, replaces it"
    raise errors.RefusedError(f"{task.key!r} can't be {verb} at run time: it is {where}")
