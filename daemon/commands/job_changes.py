"""`retry`, `discard`, `cancel` and `failures`: an operator's changes of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from jobsd import acts, errors, operations
from jobsd.acts.periods import ALWAYS
from jobsd.daemon.cli import failure_list, job_selection
from jobsd.daemon.cli.help import FILTERS
from jobsd.daemon.cli.job_selection import Filters, Progress, Selected, consent, explain
from jobsd.daemon.cli.output import Result, Table, Value
from jobsd.daemon.cli.parameters import CLASS, LINE, PERIOD, offered
from jobsd.daemon.cli.verbs import Noun, Project, Verb, on_project
from jobsd.daemon.program import note, program
from jobsd.daemon.values import counted

if TYPE_CHECKING:
    from jobsd.acts.periods import Period
    from jobsd.database.connection import Session


_MAY_RUN = ", which may still be running"
_RETRY_EXAMPLES = """
retry 4711
retry 4711 4712 --json
retry --all --class app.mail.welcome --since 1h --yes
retry --all --error 'SMTP*421' --dry-run
"""


@click.command(cls=Verb, describes=FILTERS, examples=_RETRY_EXAMPLES)
@job_selection.selecting
@on_project
def retry_command(project: Project, /, *, selected: Selected) -> Result:
    """Retry failed jobs with a fresh set of attempts; prints how many.

    Earlier errors are kept. A lost job (in no table) may still be running: it is retried with
    --yes only, by its id or by --all --state lost. Exit 5 for an id that does not exist, 6 for
    a job that has not failed, and for --all without --yes.
    """
    with project.session() as session:
        if selected.everything:
            return retry_all(session, selected)
        if selected.dry_run:
            return job_selection.dry_run("retry", selected.ids, None)
        return _retry_ids(session, selected.ids, yes=selected.yes)


def retry_all(session: Session, selected: Selected) -> Result:
    """Retry all failed jobs that pass the filters, after consent."""
    state = selected.filters.state or "failed"
    if state not in {"failed", "lost"}:
        raise errors.RefusedError(f"{state} jobs have not failed: there is nothing to retry")
    lost = state == "lost"
    filters, limit = selected.filters.selected().of(state), selected.filters.limit
    ids = job_selection.chosen_ids(session, filters, limit, acts.listing.ids)
    if selected.dry_run:
        return job_selection.dry_run("retry", ids, state)
    consent("retry", len(ids), state, yes=selected.yes, but=_MAY_RUN if lost else "")
    progress = Progress("retried", len(ids))
    with operations.audit.acting(session, "retry", selected.filters.text()) as act:
        for done in acts.retries.batches(session, ids, with_lost=lost):
            progress.add(len(done))
            act.add(len(done))
    facts = {"retried": progress.count, "ready": progress.count, "blocked": 0}
    return job_selection.all_of(progress, facts, "retried")


def _retry_ids(session: Session, ids: Sequence[int], *, yes: bool) -> Result:
    with operations.audit.acting(session, "retry", job_selection.named_ids(ids)) as act:
        batches = acts.retries.batches(session, ids, with_lost=yes)
        retried = {each for done in batches for each in done}
        act.add(len(retried))
    rest = [each for each in ids if each not in retried]
    left = explain(session, rest, partial(acts.retries.refusal, session))
    facts = {"retried": len(retried), "ready": len(retried), "blocked": 0}
    return job_selection.named("retried", len(retried), facts, left)


_DISCARD_EXAMPLES = """
discard 4711
discard 4711 4712 --json
discard --all --state scheduled --queue mail --yes
discard --all --class 'app.billing.*' --error ZeroDivision --dry-run
"""


@click.command(cls=Verb, examples=_DISCARD_EXAMPLES)
@job_selection.selecting
@on_project
def discard_command(project: Project, /, *, selected: Selected) -> Result:
    """Discard jobs that are scheduled, ready, blocked, failed or lost; prints how many.

    Exit 5 for an id that does not exist, 6 for a job that runs or has ended, and for --all
    without --yes.
    """
    keep = project.options.jobs.preserve_finished_jobs
    with project.session() as session:
        if selected.everything:
            return discard_all(session, selected, keep=keep)
        if selected.dry_run:
            return job_selection.dry_run("discard", selected.ids, None)
        return _discard_ids(session, selected.ids, keep=keep)


def discard_all(session: Session, selected: Selected, *, keep: bool) -> Result:
    """Discard all jobs that pass the filters, after consent."""
    filters = selected.filters.selected()
    limit = selected.filters.limit
    ids = job_selection.chosen_ids(session, filters, limit, acts.discards.ids)
    if selected.dry_run:
        return job_selection.dry_run("discard", ids, filters.state)
    consent("discard", len(ids), filters.state, yes=selected.yes)
    progress = Progress("discarded", len(ids))
    with operations.audit.acting(session, "discard", selected.filters.text()) as act:
        for done in acts.discards.batches(session, ids, keep=keep):
            progress.add(len(done.jobs))
            act.add(len(done.jobs))
    return job_selection.all_of(progress, {"discarded": progress.count}, "discarded")


def _discard_ids(session: Session, ids: Sequence[int], *, keep: bool) -> Result:
    gone = set[int]()
    with operations.audit.acting(session, "discard", job_selection.named_ids(ids)) as act:
        for done in acts.discards.batches(session, ids, keep=keep, patient=True):
            gone.update(done.jobs)
        act.add(len(gone))
    why = partial(acts.discards.refusal, session)
    left = explain(session, [each for each in ids if each not in gone], why)
    return job_selection.named("discarded", len(gone), {"discarded": len(gone)}, left)


_CANCEL_EXAMPLES = """
cancel 4711
cancel 4711 4712 --force --json
cancel --all --state claimed --class 'app.reports.*' --yes
cancel --all --queue mail --dry-run
"""


@click.command(cls=Verb, examples=_CANCEL_EXAMPLES)
@job_selection.selecting
@click.option(
    "--force", is_flag=True, help="End the process of a job that does not stop in time."
)
@on_project
def cancel_command(project: Project, /, *, selected: Selected, force: bool) -> Result:
    """Cancel jobs: discard waiting ones, stop running ones; prints how many.

    A running job is interrupted, and discarded unless it succeeds nevertheless. Exit 5 for an
    id that does not exist, 6 for a job that has ended, and for --all without --yes.
    """
    keep = project.options.jobs.preserve_finished_jobs
    with project.session() as session:
        if selected.everything:
            return _cancel_all(session, selected, force=force, keep=keep)
        if selected.dry_run:
            return job_selection.dry_run("cancel", selected.ids, None)
        return _cancel_ids(session, selected.ids, force=force, keep=keep)


def _cancel_all(session: Session, selected: Selected, *, force: bool, keep: bool) -> Result:
    filters = selected.filters.selected()
    limit = selected.filters.limit
    ids = job_selection.chosen_ids(session, filters, limit, acts.cancels.ids)
    if selected.dry_run:
        return job_selection.dry_run("cancel", ids, filters.state)
    consent("cancel", len(ids), filters.state, yes=selected.yes)
    progress = Progress("cancelled", len(ids))
    done: dict[int, str] = {}
    with operations.audit.acting(session, "cancel", selected.filters.text()) as act:
        for each in acts.cancels.batches(session, ids, force=force, keep=keep):
            progress.add(len(each))
            act.add(len(each))
            done.update(each)
    return _became(done, {"skipped": progress.skipped}, skipped=progress.skipped)


def _cancel_ids(session: Session, ids: Sequence[int], *, force: bool, keep: bool) -> Result:
    done: dict[int, str] = {}
    with operations.audit.acting(session, "cancel", job_selection.named_ids(ids)) as act:
        for each in acts.cancels.batches(session, ids, force=force, keep=keep):
            done.update(each)
        act.add(len(done))
    why = partial(acts.cancels.refusal, session)
    left = explain(session, [each for each in ids if each not in done], why)
    return _became(done, left.facts(), status=left.status)


def _became(
    done: Mapping[int, str], more: dict[str, Any], *, skipped: int = 0, status: int = 0
) -> Result:
    """Return the outcome of each job: discarded, or requested to stop."""
    if skipped:
        note(f"skipped {counted(skipped, 'job')} that had ended in the meantime")
    ended = [
        {"id": id_, "state": was, "became": "stopping" if was == "claimed" else "discarded"}
        for id_, was in sorted(done.items())
    ]
    counts = Counter(each["became"] for each in ended)
    facts = {"discarded": counts["discarded"], "stopping": counts["stopping"], "jobs": ended}
    said = f"{counted(len(done), 'job')} cancelled"
    if counts["stopping"]:
        said += f"; {counts['stopping']} of them were running and are being stopped"
    parts = (Value(len(done), said),) if done or not status else ()
    return Result({"cancelled": len(done), **facts, **more}, parts, status=status)


_FAILURES_EXAMPLES = """
failures
failures --json
"""


@click.group(cls=Noun, examples=_FAILURES_EXAMPLES, default="list")
def failures_command() -> None:
    """Show the failed jobs, grouped by class and error.

    `retry` and `discard` with --all, --class and --error act on a group.
    """


@failures_command.command(
    "list", cls=Verb, table=failure_list.COLUMNS, examples="failures\nfailures list --wide"
)
@on_project
def list_groups(project: Project) -> Result:
    """List the groups, latest failure first: how many jobs, their first and last failure.

    `--json` adds the most frequent messages of each group; * stands for what differs in them.
    """
    with project.session() as session:
        found = operations.failures.groups(session)
    table = Table(found, failure_list.COLUMNS)
    return Result(found, (table,), "" if found else "there are no failed jobs")


def _of_group(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the group of failed jobs that it changes."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Change nothing; print how many."),
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        *(
            click.option(f"--{each}since", type=PERIOD, help=f"Only jobs {what} since.")
            for each, what in (("failed-", "that failed"), ("", "enqueued"))
        ),
        click.argument("error_type", metavar="[ERROR]", type=LINE, required=False),
        click.argument(
            "class_name", metavar="CLASS", type=CLASS, shell_complete=offered("failed")
        ),
    ):
        function = option(function)
    return function


@failures_command.command(
    cls=Verb, hidden=True, examples="failures retry app.mail.welcome TimeoutError --yes"
)
@_of_group
@on_project
def retry(project: Project, /, **group: Any) -> Result:  # noqa: ANN401 - the group
    """Retry failed jobs of CLASS, or only those with the error type ERROR."""
    with project.session() as session:
        return retry_all(session, _selected(session, **group))


@failures_command.command(
    cls=Verb, hidden=True, examples="failures discard app.mail.welcome TimeoutError --yes"
)
@_of_group
@on_project
def discard(project: Project, /, **group: Any) -> Result:  # noqa: ANN401 - the group
    """Discard failed jobs of CLASS, or only those with the error type ERROR."""
    with project.session() as session:
        keep = project.options.jobs.preserve_finished_jobs
        return discard_all(session, _selected(session, **group), keep=keep)


def _selected(  # noqa: PLR0913 - the options of a group
    session: Session,
    *,
    class_name: str,
    error_type: str | None,
    since: Period | None,
    failed_since: Period | None,
    yes: bool,
    dry_run: bool,
) -> Selected:
    """Return the jobs of a group.

    Raises:
        NotFoundError: if no failed job is in it.
    """
    known = [
        group
        for group in operations.failures.groups(session)
        if group["class_name"] == class_name
    ]
    if not any(error_type in {None, group["error_type"]} for group in known):
        what = class_name if error_type is None else f"{class_name} with {error_type}"
        raise errors.NotFoundError(
            f"there are no failed jobs of {what}; see `{program()} failures`"
        )
    filters = Filters(
        "failed",
        class_name=class_name,
        error_type=error_type,
        since=since or ALWAYS,
        failed_since=failed_since or ALWAYS,
    )
    return Selected((), everything=True, filters=filters, yes=yes, dry_run=dry_run)
