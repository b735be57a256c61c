"""The tasks of the code: those of the jobs that this process knows and that have a schedule.

They are static tasks as those of recurring.yml are, and are stored by the same scheduler in the
same statement. So the same rule decides what belongs to whom: the file of a code task is the
one that defines its job.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from jobsd.jobs import registry
from jobsd.jobs.job_schedule import JobSchedule

from .definition import SHIPPED, TaskDefinition

CODE = "code "
"""How the source of a code task begins."""


def with_code_tasks(
    tasks: Iterable[TaskDefinition], time_zone: str, root: Path
) -> tuple[TaskDefinition, ...]:
    """Return the tasks of a file, and those of the code that the file does not define.

    An entry that only turns off a task of the code gives way to that task, disabled; it stays
    as it is if there is no such task. A shipped task gives way, too. `time_zone` applies to
    phrases that name none; files below `root` are named from there.
    """
    of_code = {task.key: task for task in _code_tasks(time_zone, root)}
    merged: list[TaskDefinition] = []
    for task in tasks:
        mine = of_code.pop(task.key, None)
        if mine is not None and task.is_switch:
            task = replace(mine, enabled=False, source=task.source)  # noqa: PLW2901
        merged.append(mine if mine is not None and task.source == SHIPPED else task)
    return (*merged, *of_code.values())


def is_of_code(task: TaskDefinition) -> bool:
    """Return whether a job's own definition gives the task."""
    return (task.source or "").startswith(CODE)


def file_of(source: str) -> Path:
    """Return the file that a task's source names: that of the configuration, or of the code."""
    return Path(source.removeprefix(CODE).rpartition(":")[0])


def _code_tasks(time_zone: str, root: Path) -> Iterator[TaskDefinition]:
    for definition in registry.definitions():
        if (given := definition.schedule) is not None:
            yield TaskDefinition(
                key=given.key,
                phrase=given.phrase,
                time_zone=time_zone,
                class_name=definition.name,
                arguments_json=given.arguments_json,
                source=_source(given, root),
            )


def _source(given: JobSchedule, root: Path) -> str:
    path = Path(given.file)
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{CODE}{shown}:{given.line}"
