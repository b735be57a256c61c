"""`recurring add`, `remove`, `enable`, `disable`: the tasks that no file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.verbs import Verb, as_json, on_project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.daemon.project import Project
    from jobsd.recurring.definition import TaskDefinition

_EXAMPLES = """
recurring add nightly --class DailyCleanupJob --schedule "at 3am every day"
recurring add sweep --command "app.tasks.sweep(batch=500)" --schedule "every 10 minutes"
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("key")
@click.option("--schedule", required=True, metavar="PHRASE", help="As in recurring.yml.")
@click.option("--class", "class_name", metavar="NAME", help="A registered job.")
@click.option("--command", "call", metavar="CALL", help="Instead: a dotted call.")
@click.option("--args", "arguments", metavar="JSON", default="[]", help="A list or an object.")
@click.option("--queue", metavar="NAME")
@click.option("--priority", type=int)
@click.option("--description", metavar="TEXT", default="")
@click.option("--time-zone", metavar="ZONE", help="That of queue.yml unless given.")
@click.option("--on-missed", type=click.Choice(("skip", "once", "all")), default="skip")
@click.option("--overlap", type=click.Choice(("allow", "skip")), default="allow")
@as_json
@on_project
def add(  # noqa: PLR0913 - the settings of a task
    project: Project,
    /,
    *,
    key: str,
    arguments: str,
    call: str | None,
    time_zone: str | None,
    as_json: bool,
    **said: str | int | None,
) -> int:
    """Make a recurring task at run time; the schedulers see it at once.

    A command may call functions of the modules of `import:`, and jobsd's own.
    """
    from jobsd.clock import utc_now
    from jobsd.daemon.exits import DONE, USAGE
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.overview import task_row
    from jobsd.daemon.shown_arguments import ShownArguments
    from jobsd.recurring import tasks

    project.load_jobs()
    zone = time_zone or project.options.time_zone
    made = _made(key, arguments, {**said, "command": call, "time_zone": zone})
    if made is None:
        return USAGE
    _require_known(made, project.options.imports)
    with project.session() as session:
        task = tasks.add(session, made)
    if as_json:
        print_json(ShownArguments(project).task(task_row(task, utc_now())))
    else:
        print_line(task.key)
    return DONE


def _require_known(made: TaskDefinition, modules: Iterable[str]) -> None:
    """Refuse what is unknown here: else each run of the task would only fail."""
    from jobsd.jobs import registry
    from jobsd.recurring.command_job import AllowedCalls

    if made.class_name:
        registry.get(made.class_name)
    if made.command:
        AllowedCalls(frozenset(modules)).function_of(made.command)


def _made(key: str, arguments: str, settings: dict[str, Any]) -> TaskDefinition | None:
    """Return the task that was described, or None, told, when its schedule or call is none."""
    import json

    from jobsd.daemon.program import error
    from jobsd.errors import Error
    from jobsd.recurring.command import CommandError
    from jobsd.recurring.definition import define
    from jobsd.schedules import ScheduleError

    try:
        return define(key, args=json.loads(arguments), **settings)
    except (ScheduleError, CommandError) as fault:
        error(fault.message, fault.hint)
        return None
    except (Error, ValueError, TypeError) as fault:
        raise click.UsageError(str(fault), click.get_current_context()) from fault


@click.command(cls=Verb, examples="recurring remove nightly")
@click.argument("key")
@as_json
@on_project
def remove(project: Project, key: str, *, as_json: bool) -> None:
    """Delete a task that was made at run time; exit 6 when a file names it."""
    from jobsd.daemon.output import tell
    from jobsd.daemon.tasks import expected
    from jobsd.recurring import tasks

    with project.session() as session, expected(project, key):
        tasks.remove(session, key)
    tell(f"{key!r} is removed; its history stays", {"key": key}, as_json=as_json)


@click.command(cls=Verb, examples="recurring enable nightly")
@click.argument("key")
@as_json
@on_project
def enable(project: Project, key: str, *, as_json: bool) -> None:
    """Turn a task on that was made at run time; exit 6 when a file names it."""
    _switch(project, key, enabled=True, as_json=as_json)


@click.command(cls=Verb, examples="recurring disable nightly")
@click.argument("key")
@as_json
@on_project
def disable(project: Project, key: str, *, as_json: bool) -> None:
    """Turn a task off that was made at run time; exit 6 when a file names it."""
    _switch(project, key, enabled=False, as_json=as_json)


def _switch(project: Project, key: str, *, enabled: bool, as_json: bool) -> None:
    from jobsd.daemon.output import tell
    from jobsd.daemon.tasks import expected
    from jobsd.recurring import tasks

    with project.session() as session, expected(project, key):
        tasks.set_enabled(session, key, enabled=enabled)
    told = f"{key!r} is turned {'on' if enabled else 'off'}"
    tell(told, {"key": key, "enabled": enabled}, as_json=as_json)
