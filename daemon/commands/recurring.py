"""`recurring`: tasks that run by a schedule."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from jobsd.clock import utc_now
from jobsd.daemon import task_list
from jobsd.daemon.commands.recurring_changes import add, disable, enable, remove
from jobsd.daemon.commands.recurring_explain import explain
from jobsd.daemon.foreground import calling, run_here
from jobsd.daemon.output import Facts, Result, Shown, Table, Value, rows
from jobsd.daemon.project import Project
from jobsd.daemon.shown_arguments import shown_arguments
from jobsd.daemon.values import moment as at
from jobsd.daemon.verbs import TASK, Noun, Verb, on_project
from jobsd.errors import NotFoundError

_EXAMPLES = """
recurring list
recurring show heartbeat
recurring next heartbeat -n 5
recurring run heartbeat
recurring explain "every weekday at 9am" --time-zone Europe/Madrid
"""

_limit = click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="How many runs to list.",
)


@click.group(cls=Noun, examples=_EXAMPLES, default="list")
def command() -> None:
    """Show recurring tasks, run one now, add and change those that no file defines."""


for _change in (add, disable, enable, explain, remove):
    command.add_command(_change)


@command.command("list", cls=Verb, table=True, examples="recurring list\nrecurring list --json")
@on_project
def list_tasks(project: Project) -> Result:
    """List the tasks with their next and last runs and what they run.

    The table is ordered by next run, like that of `systemctl list-timers`.
    """
    from jobsd.operations import tasks as task_rows

    with project.session() as session:
        found = task_rows.listed(session)
    shown = shown_arguments(project)
    found = [shown.task(row) for row in found]
    table = Table(task_list.for_people(found), task_list.COLUMNS)
    return Result(found, (table,), "" if found else task_list.EMPTY)


@command.command(
    cls=Verb, table=True, examples="recurring show heartbeat\nrecurring show heartbeat --json"
)
@click.argument("key", type=TASK)
@on_project
def show(project: Project, key: str) -> Result:
    """Show a task, its next and last runs, and, if the last one was late, why."""
    from jobsd.operations import tasks as task_rows
    from jobsd.recurring import runs, tasks

    now = utc_now()
    with project.session() as session, task_list.expected(project, key):
        task = tasks.get(session, key)
        latest = runs.history(session, key, 5)
    history = [task_rows.history_row(task, run, now) for run in latest]
    facts, upcoming = (
        shown_arguments(project).task(task_rows.task_row(task, now)),
        task.next_runs(5),
    )
    late = task_rows.why_late(task, latest[0] if latest else None, now)
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
    from jobsd.operations.call_text import call_text

    if facts["class_name"] is None:
        return {name: value for name, value in facts.items() if name != "arguments"}
    call = Shown(call_text(facts["class_name"], facts["arguments"]))
    return {
        ("call" if name == "arguments" else name): call if name == "arguments" else value
        for name, value in facts.items()
    }


@command.command("next", cls=Verb, examples="recurring next heartbeat -n 5")
@click.argument("key", type=TASK)
@_limit
@on_project
def next_runs(project: Project, key: str, limit: int) -> Result:
    """List the next planned runs of a task."""
    from jobsd.recurring import tasks

    with project.session() as session, task_list.expected(project, key):
        upcoming = tasks.get(session, key).next_runs(limit)
    return Result(upcoming, [Value(moment.isoformat(), at(moment)) for moment in upcoming])


@command.command(cls=Verb, table=True, examples="recurring history heartbeat -n 20")
@click.argument("key", type=TASK)
@_limit
@on_project
def history(project: Project, key: str, limit: int) -> Result:
    """List the last runs of a task with their outcomes, the latest first.

    `late` is the time from the planned instant until the enqueue; `cause` is why a run was
    late.
    """
    from jobsd.operations import tasks as task_rows
    from jobsd.recurring import runs, tasks

    now = utc_now()
    with project.session() as session, task_list.expected(project, key):
        latest = runs.history(session, key, limit)
        # The history outlives its task.
        task = tasks.find(session, key) if latest else tasks.get(session, key)
    found = [task_rows.history_row(task, run, now) for run in latest]
    return rows(found, task_list.HISTORY_COLUMNS, empty=f"task {key!r} has not run yet")


@command.command(
    cls=Verb, examples="recurring run heartbeat\nrecurring run clear_finished --here"
)
@click.argument("key", type=TASK)
@click.option("--here", is_flag=True, help="Run the task of recurring.yml in this process.")
@on_project
def run(project: Project, key: str, *, here: bool) -> Result | int:
    """Enqueue a task's job now, in addition to its schedule; prints the job's id.

    Exit status 6 if the job's limit is reached and it may not wait, or if the task's last run
    has not ended. With --here nothing is enqueued; exit status 1 if the job raises an error.
    """
    from jobsd.daemon.commands.enqueue import enqueued
    from jobsd.operations import audit
    from jobsd.recurring import runs, tasks

    if here:
        return run_here(project, lambda: _of_file(project, key))
    project.load_jobs()
    with (
        project.session() as session,
        task_list.expected(project, key),
        audit.acting(session, "run", f"task {key}") as act,
    ):
        job = runs.run_now(session, tasks.get(session, key))
        act.add(int(job.id is not None))
    return enqueued(job, f"of task {key!r}")


def _of_file(project: Project, key: str) -> Callable[[], object]:
    """Return what runs the task of recurring.yml; no daemon need ever have loaded it."""
    from jobsd.configuration.load import load
    from jobsd.recurring.command import parse_command
    from jobsd.recurring.command_job import find_function

    options = load(project.root, project.environ, project.flags)
    task = next((task for task in options.tasks if task.key == key), None)
    if task is None:
        raise NotFoundError(f"{options.recurring_file} has no task {key!r}")
    if task.command is None:
        return calling(task.class_name or "", task.arguments_json)
    command = parse_command(task.command)
    return partial(find_function(command.target), *command.args, **command.kwargs)
