"""`recurring`: tasks that run by a schedule; stops any, changes tasks that no file defines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import click

from jobsd import clock, errors, jobs, operations, recurring
from jobsd.daemon import program, statuses
from jobsd.daemon.cli import foreground, task_list
from jobsd.daemon.cli.output import Facts, Result, Shown, Table, Value, done, rows
from jobsd.daemon.cli.parameters import QUEUE, TASK, offered, whole
from jobsd.daemon.cli.verbs import Noun, Project, Verb, on_project
from jobsd.daemon.values import moment as at

from .recurring_explain import explain

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.recurring.definition import TaskDefinition


_EXAMPLES = """
recurring
recurring show heartbeat
recurring explain "every weekday at 9am" --time-zone Europe/Madrid
"""

_limit = click.option(
    "-n",
    "--limit",
    type=whole(1, 1000),
    default=5,
    show_default=True,
    help="How many runs to list.",
)


@click.group(cls=Noun, examples=_EXAMPLES, default="list")
def command() -> None:
    """Show recurring tasks, run one now, stop one, add tasks that no file defines."""


@command.command(
    "list", cls=Verb, table=task_list.COLUMNS, examples="recurring list\nrecurring list --json"
)
@on_project
def list_tasks(project: Project) -> Result:
    """List the tasks with their next and last runs, and what they run.

    The table is ordered by next run, like that of `systemctl list-timers`.
    """
    with project.session() as session:
        found = operations.tasks.listed(session)
    shown = project.shown_arguments
    found = [shown.task(row) for row in found]
    table = Table(task_list.for_people(found), task_list.COLUMNS)
    return Result(found, (table,), "" if found else task_list.EMPTY)


@command.command(
    cls=Verb,
    table=task_list.HISTORY_COLUMNS,
    examples="recurring show heartbeat\nrecurring show heartbeat -n 20",
)
@click.argument("key", type=TASK)
@_limit
@on_project
def show(project: Project, key: str, limit: int) -> Result:
    """Show a task, its next and last runs; if the last one was late, why."""
    now = clock.utc_now()
    threshold_s = project.options.supervisor.process_alive_threshold_s
    with project.session() as session, task_list.expected(project, key):
        task = recurring.tasks.get(session, key)
        latest = recurring.runs.history(session, key, limit)
        last = latest[0] if latest else None
        late = operations.tasks.why_late(session, task, last, now, threshold_s)
    history = [operations.tasks.history_row(task, run, now) for run in latest]
    facts, upcoming = (
        project.shown_arguments.task(operations.tasks.task_row(task, now)),
        task.next_runs(limit),
    )
    more: list[tuple[str, object]] = [("next", moment) for moment in upcoming]
    if late:
        more.insert(0, ("late", f"{late['cause']}: {late['reported']}"))
    return Result(
        {**facts, "late": late, "next_runs": upcoming, "history": history},
        (
            Facts([*facts.items(), *more], [*_for_people(facts).items(), *more]),
            Table(history, task_list.HISTORY_COLUMNS, apart=True),
        ),
    )


def _for_people(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with the arguments as a call."""
    if facts["class_name"] is None:
        return {name: value for name, value in facts.items() if name != "arguments"}
    call = Shown(operations.shown_arguments.call_text(facts["class_name"], facts["arguments"]))
    return {
        ("call" if name == "arguments" else name): call if name == "arguments" else value
        for name, value in facts.items()
    }


@command.command("next", cls=Verb, hidden=True, examples="recurring next heartbeat -n 5")
@click.argument("key", type=TASK)
@_limit
@on_project
def next_runs(project: Project, key: str, limit: int) -> Result:
    """List the next planned runs of a task, as `recurring show` does."""
    with project.session() as session, task_list.expected(project, key):
        upcoming = recurring.tasks.get(session, key).next_runs(limit)
    return Result(upcoming, [Value(moment.isoformat(), at(moment)) for moment in upcoming])


@command.command(
    cls=Verb,
    hidden=True,
    table=task_list.HISTORY_COLUMNS,
    examples="recurring history heartbeat -n 20",
)
@click.argument("key", type=TASK)
@_limit
@on_project
def history(project: Project, key: str, limit: int) -> Result:
    """List the last runs of a task with outcomes, the latest first.

    `late` is the time from the planned instant until the enqueue; `cause` is why a run was
    late.
    """
    now = clock.utc_now()
    with project.session() as session, task_list.expected(project, key):
        latest = recurring.runs.history(session, key, limit)
        # The history outlives its task.
        task = (
            recurring.tasks.find(session, key) if latest else recurring.tasks.get(session, key)
        )
    found = [operations.tasks.history_row(task, run, now) for run in latest]
    return rows(found, task_list.HISTORY_COLUMNS, empty=f"task {key!r} has not run yet")


@command.command(
    cls=Verb, examples="recurring run heartbeat\nrecurring run clear_finished --here"
)
@click.argument("key", type=TASK)
@click.option("--here", is_flag=True, help="As `perform --task KEY`.")
@foreground.quiet_option
@on_project
def run(project: Project, key: str, *, here: bool, quiet: bool) -> Result | int:
    """Enqueue a task's job now, in addition to its schedule; prints the job's id.

    Exit status 6 if the job's limit is reached and it may not wait, or if the task's last run
    has not ended. With --here nothing is enqueued; exit status 1 if the job raises an error.
    """
    from jobsd.daemon.commands.enqueue import enqueued

    if quiet and not here:
        raise click.UsageError("--quiet belongs to --here")
    if here:
        return foreground.run_here(
            project, lambda: foreground.of_task(project, key), quiet=quiet
        )
    project.load_jobs()
    with (
        project.session() as session,
        task_list.expected(project, key),
        operations.audit.acting(session, "run", f"task {key}") as act,
    ):
        job = recurring.runs.run_now(session, recurring.tasks.get(session, key))
        act.add(int(job.id is not None))
    return enqueued(job, f"of task {key!r}")


_ADD_EXAMPLES = """
recurring add nightly --class Nightly --schedule "at 3am every day"
recurring add sweep --command "app.sweep(5)" --schedule @hourly
"""


@click.command(cls=Verb, examples=_ADD_EXAMPLES)
@click.argument("key", type=TASK)
@click.option("--schedule", required=True, metavar="PHRASE", help="As in a file.")
@click.option(
    *("--class", "class_name"),
    metavar="NAME",
    shell_complete=offered("job"),
    help="A registered job.",
)
@click.option(
    "--command",
    "call",
    metavar="CALL",
    help="A call instead of a job.",
)
@click.option("--args", "arguments", metavar="JSON", default="[]", help="A list or an object.")
@click.option(
    "--queue", type=QUEUE, metavar="NAME", help="The queue, instead of the job's own."
)
@click.option("--priority", type=int, help="Jobs with a smaller number run first.")
@click.option(
    *("--tag", "tags"),
    multiple=True,
    metavar="TAG",
    shell_complete=offered("tag"),
    help="A tag instead of the job's own; repeatable.",
)
@click.option("--description", metavar="TEXT", default="", help="What the task is for.")
@click.option(
    *("--time-zone",),
    metavar="ZONE",
    shell_complete=offered("zone"),
    help="Default: the zone of queue.yml.",
)
@click.option(
    "--on-missed",
    type=click.Choice(("skip", "once", "all")),
    default="skip",
    show_default=True,
    help="What to do about missed runs.",
)
@click.option(
    "--overlap",
    type=click.Choice(("allow", "skip")),
    default="allow",
    show_default=True,
    help="While the last run goes on.",
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
    **given: str | int | tuple[str, ...] | None,
) -> Result | int:
    """Add a recurring task at run time; the schedulers see it at once.

    A call may name functions of `import:` modules, and those of jobsd.
    """
    project.load_jobs()
    zone = time_zone or project.options.time_zone
    settings = {**given, "command": call, "time_zone": zone, "tags": given["tags"] or None}
    made = _made(key, arguments, settings)
    if made is None:
        return statuses.USAGE
    _require_known(made, project.options.imports)
    with project.session() as session, operations.audit.acting(session, "add", f"task {key}"):
        task = recurring.tasks.add(session, made)
    row = project.shown_arguments.task(operations.tasks.task_row(task, clock.utc_now()))
    return Result(row, (Value(task.key, f"task {task.key!r} is added"),))


def _require_known(made: TaskDefinition, modules: Iterable[str]) -> None:
    """Refuse a job or a function that is unknown here: each run of the task would fail."""
    if made.class_name:
        jobs.registry.get(made.class_name)
    if made.command:
        recurring.command_job.AllowedCalls(frozenset(modules)).function_of(made.command)


def _made(key: str, arguments: str, settings: dict[str, Any]) -> TaskDefinition | None:
    """Return the described task; report an invalid schedule or call, and return None."""
    from jobsd.schedules import ScheduleError

    try:
        return recurring.definition.define(key, args=json.loads(arguments), **settings)
    except (ScheduleError, recurring.command.CommandError) as fault:
        program.error(fault.message, fault.hint)
        return None
    except (errors.Error, ValueError, TypeError) as fault:
        raise click.UsageError(str(fault), click.get_current_context()) from fault


@click.command(cls=Verb, examples="recurring remove nightly")
@click.argument("key", type=TASK)
@on_project
def remove(project: Project, key: str) -> Result:
    """Delete a task that was added at run time; exit status 6 if a file defines it."""
    with project.session() as session, _audited(session, "remove", project, key):
        recurring.tasks.remove(session, key)
    return done(f"{key!r} is removed; its history stays", {"key": key})


@click.command(cls=Verb, examples="recurring enable nightly")
@click.argument("key", type=TASK)
@on_project
def enable(project: Project, key: str) -> Result:
    """Let a task run by its schedule again; exit status 6 if its file turns it off.

    It catches up on no runs of the time when it was disabled.
    """
    with project.session() as session, _audited(session, "enable", project, key):
        recurring.tasks.enable(session, key)
    return done(f"{key!r} is turned on", {"key": key, "enabled": True})


@click.command(cls=Verb, examples="recurring disable nightly")
@click.argument("key", type=TASK)
@on_project
def disable(project: Project, key: str) -> Result:
    """Stop a task, also one of a file, until it is enabled; reloads and deploys keep it so."""
    with project.session() as session, _audited(session, "disable", project, key):
        recurring.tasks.disable(session, key)
    return done(f"{key!r} is turned off", {"key": key, "enabled": False})


@contextlib.contextmanager
def _audited(session: Session, verb: str, project: Project, key: str) -> Generator[None]:
    """Act on a task that is expected to exist, and record the actor."""
    with (
        task_list.expected(project, key),
        operations.audit.acting(session, verb, f"task {key}"),
    ):
        yield


for _change in (add, disable, enable, explain, remove):
    command.add_command(_change)
