"""`list`: jobs, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.filters import filtered
from jobsd.daemon.verbs import Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.filters import Filters
    from jobsd.daemon.project import Project
    from jobsd.jobs.listing import Listed

_COLUMNS = ("id", "class_name", "queue_name", "state", "attempts", "created_at", "arguments")
_OF_STATES = {
    "scheduled": ("scheduled_at",),
    "claimed": ("claimed_at", "claimed_by"),
    "failed": ("error",),
    "finished": ("finished_at",),
    "discarded": ("finished_at",),
}
"""What is to be known of the jobs of one state beside that."""
_LIMIT = 20
_LIMIT_MAX = 10_000

_EXAMPLES = """
list
list --state failed --class app.mail.welcome
list --queue mail --since 1h --limit 100 --json
"""


@click.command("list", cls=Verb, examples=_EXAMPLES)
@filtered
@as_json
@on_project
def command(project: Project, *, filters: Filters, as_json: bool) -> None:
    """List jobs, the newest first: 20 of them, unless --limit says otherwise.

    With --state also when they are due, since when they are claimed and by whom, when they
    have ended, or by which error.
    """
    from dataclasses import asdict

    from jobsd.daemon.output import print_rows
    from jobsd.daemon.shown_arguments import ShownArguments
    from jobsd.jobs.listing import listed

    limit = _LIMIT if filters.limit is None else filters.limit
    if limit > _LIMIT_MAX:
        told = f"{limit} is not in the range 1<=x<={_LIMIT_MAX}."
        raise click.BadParameter(told, param_hint="'--limit'")
    with project.session() as session:
        found = listed(session, filters.meant(), limit)
    shown = ShownArguments(project)
    jobs = [asdict(job) for job in found.jobs]
    rows = [{**job, "arguments": shown.of(job["class_name"], job["arguments"])} for job in jobs]
    if not as_json:
        rows = [
            {**row, "error": _told(row["error"]), "claimed_by": _claimed_by(row)}
            for row in rows
        ]
    print_rows(rows, _columns(filters.state), as_json=as_json)
    _tell_how_far(found)


def _columns(state: str | None) -> tuple[str, ...]:
    from jobsd.daemon.output import is_terminal

    columns = (*_COLUMNS, *_OF_STATES.get(state or "", ()))
    # On 80 columns there is no room to repeat what was asked for.
    left_out = "state" if state and is_terminal() else None
    return tuple(column for column in columns if column != left_out)


def _claimed_by(row: dict[str, Any]) -> str | None:
    if row["process_id"] is None:
        return None
    if row["process"] is None:
        return f"process {row['process_id']}, which is no more"
    return f"pid {row['pid']} on {row['hostname']}, {row['process']}"


def _told(error: dict[str, Any] | None) -> str | None:
    return None if error is None else f"{error.get('type')}: {error.get('message')}"


def _tell_how_far(found: Listed) -> None:
    """Say it when older jobs may be meant too."""
    from jobsd.daemon.output import when
    from jobsd.daemon.program import note

    if not found.complete:
        oldest = "" if found.oldest is None else f", enqueued {when(found.oldest)} and later"
        note(
            f"looked at the newest {found.seen} jobs{oldest};"
            " --since 30d looks at all of 30 days"
        )
