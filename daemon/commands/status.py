"""`status`: one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.verbs import DURATION, Verb, as_json, on_project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.daemon.overview import Overview
    from jobsd.daemon.project import Project

_EXAMPLES = """
status
status --watch
status --watch 10s
status --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option(
    "--watch",
    "every_s",
    is_flag=False,
    flag_value="2s",
    type=DURATION,
    metavar="[EVERY]",
    help="Look again and again; every 2s unless said otherwise.",
)
@as_json
@on_project
def command(project: Project, every_s: float | None, *, as_json: bool) -> int:
    """Show on one screen what runs, what waits, what comes next and what failed.

    Exit status 3 when nothing runs.
    """
    import time

    from jobsd.daemon.exits import DONE, NOT_RUNNING
    from jobsd.daemon.overview import overview
    from jobsd.daemon.shown_arguments import ShownArguments

    shown = ShownArguments(project)
    with project.session() as session:
        while True:
            seen = overview(session, project.options)
            seen.recurring[:] = map(shown.task, seen.recurring)
            _print(seen, as_json=as_json, anew=every_s is not None)
            if every_s is None:
                return DONE if seen.running else NOT_RUNNING
            time.sleep(max(every_s, 0.1))


def _print(seen: Overview, *, as_json: bool, anew: bool) -> None:
    import sys
    from dataclasses import asdict

    from jobsd.daemon import overview
    from jobsd.daemon.output import human, is_terminal, plain, print_json, print_line

    if as_json:
        print_json(asdict(seen))
        sys.stdout.flush()
        return
    if anew and is_terminal():
        print_line("\x1b[H\x1b[2J")
    print_line(_sentence(seen))
    beat = (human if is_terminal() else plain)(seen.last_heartbeat)
    print_line(f"last heartbeat: {beat or 'none'}")
    kinds = ("kind", "pid", "hostname", "heartbeat_age", "life", "metadata")
    _section("queues", seen.queues, overview.QUEUE_COLUMNS)
    _section("processes", seen.processes, kinds)
    _section("next recurring runs", seen.recurring, overview.TASK_COLUMNS)
    _section("failures", seen.failures, overview.FAILURE_COLUMNS)
    sys.stdout.flush()


def _sentence(seen: Overview) -> str:
    alive = [row for row in seen.processes if row["life"] == "alive"]
    if not seen.running:
        return "jobsd is not running"
    trees = sum(row["kind"] == "supervisor" for row in alive)
    hosts = len({row["hostname"] for row in alive})
    supervisors = "a supervisor" if trees == 1 else f"{trees} supervisors"
    where = "" if hosts == 1 else f", on {hosts} hosts"
    return f"jobsd is running: {supervisors} with {len(alive) - trees} processes{where}"


def _section(title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    from jobsd.daemon.output import print_line, print_rows

    print_line(f"\n{title}:" if rows else f"\n{title}: none")
    if rows:
        print_rows(rows, columns, as_json=False)
