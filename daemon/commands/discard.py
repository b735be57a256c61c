"""`discard`: discard jobs that are not running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from jobsd.daemon import job_selection, output, verbs
from jobsd.daemon.job_selection import Progress, Selected, consent, explain, selecting
from jobsd.daemon.project import Project

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_EXAMPLES = """
discard 4711
discard 4711 4712 --json
discard --all --state scheduled --queue mail --yes
discard --all --class 'app.billing.*' --error ZeroDivision --dry-run
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@selecting
@verbs.on_project
def command(project: Project, /, *, selected: Selected) -> output.Result:
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


def discard_all(session: Session, selected: Selected, *, keep: bool) -> output.Result:
    """Discard all jobs that pass the filters, once somebody has consented."""
    from jobsd.jobs import discards
    from jobsd.operations import audit

    filters = selected.filters.selected()
    ids = discards.ids(session, filters, selected.filters.limit)
    if selected.dry_run:
        return job_selection.dry_run("discard", ids, filters.state)
    consent("discard", len(ids), filters.state, yes=selected.yes)
    progress = Progress("discarded", len(ids))
    with audit.acting(session, "discard", selected.filters.text()) as act:
        for done in discards.batches(session, ids, keep=keep):
            progress.add(len(done.jobs))
            act.add(len(done.jobs))
    return job_selection.all_of(progress, {"discarded": progress.count}, "discarded")


def _discard_ids(session: Session, ids: Sequence[int], *, keep: bool) -> output.Result:
    from jobsd.jobs import discards
    from jobsd.operations import audit

    gone = set[int]()
    with audit.acting(session, "discard", job_selection.named_ids(ids)) as act:
        for done in discards.batches(session, ids, keep=keep):
            gone.update(done.jobs)
        act.add(len(gone))
    left = explain(session, [each for each in ids if each not in gone], discards.refusal)
    return job_selection.named("discarded", len(gone), {"discarded": len(gone)}, left)
