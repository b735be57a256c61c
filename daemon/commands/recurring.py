"""`recurring`: tasks that run by a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.commands.recurring_changes import add, disable, enable, remove
from jobsd.daemon.commands.recurring_explain import explain
from jobsd.daemon.verbs import Noun, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project

_HISTORY_COLUMNS = (
    "run_at",
    "enqueued_at",
    "late",
    "job_id",
    "outcome",
    "started_at",
    "finished_at",
    "cause",
)

_EXAMPLES = """
recurring list
recurring show heartbeat
recurring next heartbeat -n 5
recurring run heartbeat
recurring explain "every weekday at 9am" --time-zone Europe/Madrid
"""

_limit = click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=5, show_default=True
)


@click.group(cls=Noun, examples=_EXAMPLES, default="list")
def command() -> None:
    """Look at recurring tasks, run one now, make and change those that no file names."""


for _change in (add, disable, enable, explain, remove):
    command.add_command(_change)


@command.command("list", cls=Verb, examples="recurring list\nrecurring list --json")
@as_json
@on_project
def list_tasks(project: Project, *, as_json: bool) -> None:
    """List the tasks: next run, how long until then, last run, how long ago, and what runs.

    In the order of their next runs, laid out like `systemctl list-timers`.
    """
    from jobsd.daemon.shown_arguments import ShownArguments
    from jobsd.daemon.tasks import print_tasks, task_rows

    with project.session() as session:
        rows = task_rows(session)
    shown = ShownArguments(project)
    rows = [shown.task(row) for row in rows]
    print_tasks(rows, as_json=as_json)


@command.command(cls=Verb, examples="recurring show heartbeat\nrecurring show heartbeat --json")
@click.argument("key")
@as_json
@on_project
def show(project: Project, key: str, *, as_json: bool) -> None:
    """Show a task, its next runs and its last ones, and why it was late if it was."""
    from jobsd.clock import utc_now
    from jobsd.daemon.output import print_facts, print_json, print_line, print_rows
    from jobsd.daemon.overview import task_row
    from jobsd.daemon.shown_arguments import ShownArguments
    from jobsd.daemon.tasks import expected, history_row, why_late
    from jobsd.recurring import runs, tasks

    now = utc_now()
    with project.session() as session, expected(project, key):
        task = tasks.get(session, key)
        latest = runs.history(session, key, 5)
    history = [history_row(task, run, now) for run in latest]
    facts, upcoming = ShownArguments(project).task(task_row(task, now)), task.next_runs(5)
    late = why_late(task, latest[0] if latest else None, now)
    if as_json:
        print_json({**facts, "late": late, "next_runs": upcoming, "history": history})
        return
    print_facts(facts, as_json=False)
    if late:
        print_line(f"late\t{late['cause']}: {late['told']}")
    for moment in upcoming:
        print_line(f"next\t{moment.isoformat()}")
    print_rows(history, _HISTORY_COLUMNS, as_json=False)


@command.command("next", cls=Verb, examples="recurring next heartbeat -n 5")
@click.argument("key")
@_limit
@as_json
@on_project
def next_runs(project: Project, key: str, limit: int, *, as_json: bool) -> None:
    """List the next planned runs of a task."""
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.tasks import expected
    from jobsd.recurring import tasks

    with project.session() as session, expected(project, key):
        upcoming = tasks.get(session, key).next_runs(limit)
    if as_json:
        print_json(upcoming)
        return
    for moment in upcoming:
        print_line(moment.isoformat())


@command.command(cls=Verb, examples="recurring history heartbeat -n 20")
@click.argument("key")
@_limit
@as_json
@on_project
def history(project: Project, key: str, limit: int, *, as_json: bool) -> None:
    """List the last runs of a task with their outcomes, the latest first.

    `late` is from the planned time until it was enqueued; `cause` names what made a run late.
    """
    from jobsd.clock import utc_now
    from jobsd.daemon.output import print_rows
    from jobsd.daemon.tasks import expected, history_row
    from jobsd.recurring import runs, tasks

    now = utc_now()
    with project.session() as session, expected(project, key):
        latest = runs.history(session, key, limit)
        # The history outlives its task.
        task = tasks.find(session, key) if latest else tasks.get(session, key)
    rows = [history_row(task, run, now) for run in latest]
    print_rows(rows, _HISTORY_COLUMNS, as_json=as_json)


@command.command(cls=Verb, examples="recurring run heartbeat")
@click.argument("key")
@as_json
@on_project
def run(project: Project, key: str, *, as_json: bool) -> int:
    """Enqueue a task's job now, beside its schedule; prints the job's id.

    Exit 6 when its limit is reached and it may not wait, or its last run has not ended.
    """
    from dataclasses import asdict

    from jobsd.daemon.exits import DONE, REFUSED
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.program import error
    from jobsd.daemon.tasks import expected
    from jobsd.recurring import runs, tasks

    project.load_jobs()
    with project.session() as session, expected(project, key):
        job = runs.run_now(session, tasks.get(session, key))
    if as_json:
        print_json(asdict(job))
    elif job.id is not None:
        print_line(str(job.id))
    if job.id is not None:
        return DONE
    error("the limit of its job is reached, and it may not wait: nothing was enqueued")
    return REFUSED
