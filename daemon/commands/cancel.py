"""`cancel`: stop jobs, those that run among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon import job_selection, verbs
from jobsd.daemon.job_selection import Progress, Selected, consent, explain, selecting
from jobsd.daemon.output import Result
from jobsd.daemon.program import note
from jobsd.daemon.project import Project

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_EXAMPLES = """
cancel 4711
cancel 4711 4712 --force --json
cancel --all --state claimed --class 'app.reports.*' --yes
cancel --all --queue mail --dry-run
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@selecting
@click.option(
    "--force", is_flag=True, help="End the process of a job that does not stop in time."
)
@verbs.on_project
def command(project: Project, /, *, selected: Selected, force: bool) -> Result:
    """Cancel jobs: discard those that wait, stop those that run; prints how many.

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
    from jobsd.jobs import cancels
    from jobsd.operations import audit

    filters = selected.filters.selected()
    ids = cancels.ids(session, filters, selected.filters.limit)
    if selected.dry_run:
        return job_selection.dry_run("cancel", ids, filters.state)
    consent("cancel", len(ids), filters.state, yes=selected.yes)
    progress = Progress("cancelled", len(ids))
    done: dict[int, str] = {}
    with audit.acting(session, "cancel", selected.filters.text()) as act:
        for each in cancels.batches(session, ids, force=force, keep=keep):
            progress.add(len(each))
            act.add(len(each))
            done.update(each)
    return _became(done, {"skipped": progress.skipped}, skipped=progress.skipped)


def _cancel_ids(session: Session, ids: Sequence[int], *, force: bool, keep: bool) -> Result:
    from jobsd.jobs import cancels
    from jobsd.operations import audit

    done: dict[int, str] = {}
    with audit.acting(session, "cancel", job_selection.named_ids(ids)) as act:
        for each in cancels.batches(session, ids, force=force, keep=keep):
            done.update(each)
        act.add(len(done))
    left = explain(session, [each for each in ids if each not in done], cancels.refusal)
    return _became(done, left.facts(), status=left.status)


def _became(
    done: Mapping[int, str], more: dict[str, Any], *, skipped: int = 0, status: int = 0
) -> Result:
    """Return what became of each job: discarded, or told to stop."""
    from jobsd.daemon.output import Result, Value
    from jobsd.daemon.values import counted

    if skipped:
        note(f"skipped {counted(skipped, 'job')} that had ended in the meantime")
    jobs = [
        {"id": id_, "state": was, "became": "stopping" if was == "claimed" else "discarded"}
        for id_, was in sorted(done.items())
    ]
    counts = Counter(each["became"] for each in jobs)
    facts = {"discarded": counts["discarded"], "stopping": counts["stopping"], "jobs": jobs}
    said = f"{counted(len(done), 'job')} cancelled"
    if counts["stopping"]:
        said += f"; {counts['stopping']} of them were running and are being stopped"
    parts = (Value(len(done), said),) if done or not status else ()
    return Result({"cancelled": len(done), **facts, **more}, parts, status=status)
