"""Whether finished jobs are cleared at all: where they are kept, only a task does that.

A task of the user's own may do it under another name, and so may cron: what is said here
leaves that open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.recurring import tasks
from jobsd.recurring.command import clears_history

from .finding import Finding
from .program import program
from .unserved import some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobsd.configuration.options import Options
    from jobsd.database.connection import Session
    from jobsd.recurring.definition import TaskDefinition

_COMMAND = "`command: jobsd.clear_finished_in_batches()`"


def warnings(options: Options) -> Iterator[str]:
    """Yield a warning when finished jobs are kept, and no task of the file clears them.

    Who reads no tasks here has them elsewhere.
    """
    if not options.jobs.preserve_finished_jobs or options.skip_recurring:
        return
    if not _clearing(options.tasks):
        yield (
            "finished jobs are kept, and no task here clears them: they stay for ever unless"
            f" a task made at run time, or of another host, does ({_COMMAND})"
        )


def cleared(session: Session, options: Options) -> Finding:
    """Say which tasks, of the file or of the table, clear finished jobs."""
    if not options.jobs.preserve_finished_jobs:
        return Finding("OK", "history", "finished jobs are not kept")
    if keys := _clearing([*options.tasks, *tasks.load(session)]):
        return Finding("OK", "history", f"finished jobs are cleared by {some(keys)}")
    told = (
        "finished jobs are kept, and no enabled task clears them: they stay for ever unless"
        f" something else runs `{program()} clear-finished`; a task does by {_COMMAND}"
    )
    return Finding("WARN", "history", told)


def _clearing(named: Iterable[TaskDefinition]) -> list[str]:
    return sorted({task.key for task in named if task.enabled and clears_history(task.command)})
