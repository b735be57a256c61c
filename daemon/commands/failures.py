"""`failures`: the failed jobs by class and error; retry or discard a group of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.commands.discard import discard_all
from jobsd.daemon.commands.retry import retry_all
from jobsd.daemon.failure_list import COLUMNS
from jobsd.daemon.job_selection import Filters, Selected
from jobsd.daemon.output import Result, Table
from jobsd.daemon.program import program
from jobsd.daemon.project import Project
from jobsd.daemon.verbs import CLASS, DURATION, LINE, Noun, Verb, on_project
from jobsd.errors import NotFoundError

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_EXAMPLES = """
failures
failures --json
failures retry app.mail.welcome smtplib.SMTPServerDisconnected --yes
failures discard app.mail.welcome --since 1h --dry-run
"""


@click.group(cls=Noun, examples=_EXAMPLES, default="list")
def command() -> None:
    """Show the failed jobs, grouped by class and error; retry or discard a group."""


@command.command("list", cls=Verb, table=True, examples="failures\nfailures list --wide")
@on_project
def list_groups(project: Project) -> Result:
    """List the groups, latest failure first: how many jobs, their first and last failure.

    `--json` adds the most frequent messages of each group; * stands for what differs in them.
    """
    from jobsd.operations.failures import groups

    with project.session() as session:
        found = groups(session)
    table = Table(found, COLUMNS)
    return Result(found, (table,), "" if found else "there are no failed jobs")


def _of_group(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the group of failed jobs that it changes."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Change nothing; print how many."),
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        click.option("--since", "since_s", type=DURATION, help="Only jobs enqueued since."),
        click.argument("error_type", metavar="[ERROR]", type=LINE, required=False),
        click.argument("class_name", metavar="CLASS", type=CLASS),
    ):
        function = option(function)
    return function


@command.command(cls=Verb, examples="failures retry app.mail.welcome TimeoutError --yes")
@_of_group
@on_project
def retry(project: Project, /, **group: Any) -> Result:  # noqa: ANN401 - the group
    """Retry failed jobs of CLASS; with ERROR, an error type, only those that failed so."""
    with project.session() as session:
        return retry_all(session, _selected(session, **group))


@command.command(cls=Verb, examples="failures discard app.mail.welcome TimeoutError --yes")
@_of_group
@on_project
def discard(project: Project, /, **group: Any) -> Result:  # noqa: ANN401 - the group
    """Discard failed jobs of CLASS; with ERROR, an error type, only those that failed so."""
    with project.session() as session:
        keep = project.options.jobs.preserve_finished_jobs
        return discard_all(session, _selected(session, **group), keep=keep)


def _selected(  # noqa: PLR0913 - the options of a group
    session: Session,
    *,
    class_name: str,
    error_type: str | None,
    since_s: float | None,
    yes: bool,
    dry_run: bool,
) -> Selected:
    """Return the jobs of a group.

    Raises:
        NotFoundError: when no failed job is in it.
    """
    from jobsd.operations.failures import groups

    known = [group for group in groups(session) if group["class_name"] == class_name]
    if not any(error_type in {None, group["error_type"]} for group in known):
        what = class_name if error_type is None else f"{class_name} with {error_type}"
        raise NotFoundError(f"there are no failed jobs of {what}; see `{program()} failures`")
    filters = Filters("failed", None, class_name, None, since_s, None, error_type)
    return Selected((), everything=True, filters=filters, yes=yes, dry_run=dry_run)
