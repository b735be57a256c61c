"""`recurring add`, `remove`, `enable`, `disable`: the tasks that no file names."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import click

from jobsd.clock import utc_now
from jobsd.daemon import program, statuses, task_list
from jobsd.daemon.output import Result, Value, done
from jobsd.daemon.project import Project
from jobsd.daemon.shown_arguments import shown_arguments
from jobsd.daemon.verbs import TASK, Verb, on_project
from jobsd.errors import Error

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.recurring.definition import TaskDefinition

_EXAMPLES = """
recurring add nightly --class DailyCleanupJob --schedule "at 3am every day"
recurring add sweep --command "app.tasks.sweep(batch=500)" --schedule "every 10 minutes"
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("key", type=TASK)
@click.option("--schedule", required=True, metavar="PHRASE", help="As in a file.")
@click.option("--class", "class_name", metavar="NAME", help="A registered job.")
@click.option(
    "--command",
    "call",
    metavar="CALL",
    help="Function to call instead of --class, e.g. app.tasks.sweep(batch=500).",
)
@click.option("--args", "arguments", metavar="JSON", default="[]", help="A list or an object.")
@click.option("--queue", metavar="NAME", help="The queue, instead of the job's own.")
@click.option("--priority", type=int, help="Jobs with a smaller number run first.")
@click.option("--description", metavar="TEXT", default="", help="What the task is for.")
@click.option("--time-zone", metavar="ZONE", help="Default: the zone of queue.yml.")
@click.option(
    "--on-missed",
    type=click.Choice(("skip", "once", "all")),
    default="skip",
    show_default=True,
    help="What to do about runs that were missed because no scheduler ran.",
)
@click.option(
    "--overlap",
    type=click.Choice(("allow", "skip")),
    default="allow",
    show_default=True,
    help="What to do if the previous run has not ended.",
)
@on_project
def add(
    project: Project,
    /,
    *,
    key: str,
    arguments: str,
    call: str | None,
    time_zone: str | None,
    **given: str | int | None,
) -> Result | int:
    """Add a recurring task at run time; the schedulers see it at once.

    A command may call functions of the modules in `import:`, and those of jobsd.
    """
    from jobsd.operations import audit
    from jobsd.operations.tasks import task_row
    from jobsd.recurring import tasks

    project.load_jobs()
    zone = time_zone or project.options.time_zone
    made = _made(key, arguments, {**given, "command": call, "time_zone": zone})
    if made is None:
        return statuses.USAGE
    _require_known(made, project.options.imports)
    with project.session() as session, audit.acting(session, "add", f"task {key}"):
        task = tasks.add(session, made)
    row = shown_arguments(project).task(task_row(task, utc_now()))
    return Result(row, (Value(task.key, f"task {task.key!r} is added"),))


def _require_known(made: TaskDefinition, modules: Iterable[str]) -> None:
    """Refuse what is unknown here: else each run of the task would only fail."""
    from jobsd.jobs import registry
    from jobsd.recurring.command_job import AllowedCalls

    if made.class_name:
        registry.get(made.class_name)
    if made.command:
        AllowedCalls(frozenset(modules)).function_of(made.command)


def _made(key: str, arguments: str, settings: dict[str, Any]) -> TaskDefinition | None:
    """Return the described task; None, once reported, when its schedule or call is none."""
    from jobsd.recurring.command import CommandError
    from jobsd.recurring.definition import define
    from jobsd.schedules import ScheduleError

    try:
        return define(key, args=json.loads(arguments), **settings)
    except (ScheduleError, CommandError) as fault:
        program.error(fault.message, fault.hint)
        return None
    except (Error, ValueError, TypeError) as fault:
        raise click.UsageError(str(fault), click.get_current_context()) from fault


@click.command(cls=Verb, examples="recurring remove nightly")
@click.argument("key", type=TASK)
@on_project
def remove(project: Project, key: str) -> Result:
    """Delete a task that was added at run time; exit status 6 if a file defines it."""
    from jobsd.recurring import tasks

    with project.session() as session, _audited(session, "remove", project, key):
        tasks.remove(session, key)
    return done(f"{key!r} is removed; its history stays", {"key": key})


@click.command(cls=Verb, examples="recurring enable nightly")
@click.argument("key", type=TASK)
@on_project
def enable(project: Project, key: str) -> Result:
    """Turn on a task that was added at run time; exit status 6 if a file defines it."""
    return _switch(project, key, enabled=True)


@click.command(cls=Verb, examples="recurring disable nightly")
@click.argument("key", type=TASK)
@on_project
def disable(project: Project, key: str) -> Result:
    """Turn off a task that was added at run time; exit status 6 if a file defines it."""
    return _switch(project, key, enabled=False)


@contextlib.contextmanager
def _audited(session: Session, verb: str, project: Project, key: str) -> Generator[None]:
    """Do something to a task that is expected to be there, and write down who did."""
    from jobsd.operations import audit

    with task_list.expected(project, key), audit.acting(session, verb, f"task {key}"):
        yield


def _switch(project: Project, key: str, *, enabled: bool) -> Result:
    from jobsd.recurring import tasks

    verb = "enable" if enabled else "disable"
    with project.session() as session, _audited(session, verb, project, key):
        tasks.set_enabled(session, key, enabled=enabled)
    sentence = f"{key!r} is turned {'on' if enabled else 'off'}"
    return done(sentence, {"key": key, "enabled": enabled})
