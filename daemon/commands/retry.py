"""`retry`: retry failed jobs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from jobsd.daemon import job_selection, output, verbs
from jobsd.daemon.job_selection import Progress, Selected, consent, explain, selecting
from jobsd.daemon.project import Project
from jobsd.errors import RefusedError

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_MAY_RUN = ", which may still be running"
_EXAMPLES = """
retry 4711
retry 4711 4712 --json
retry --all --class app.mail.welcome --since 1h --yes
retry --all --error 'SMTP*421' --dry-run
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@selecting
@verbs.on_project
def command(project: Project, /, *, selected: Selected) -> output.Result:
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


def retry_all(session: Session, selected: Selected) -> output.Result:
    """Retry all failed jobs that pass the filters, once somebody has consented."""
    from jobsd.jobs import failed, listing
    from jobsd.operations import audit

    state = selected.filters.state or "failed"
    if state not in {"failed", "lost"}:
        raise RefusedError(f"{state} jobs have not failed: there is nothing to retry")
    lost = state == "lost"
    ids = listing.ids(session, selected.filters.selected().of(state), selected.filters.limit)
    if selected.dry_run:
        return job_selection.dry_run("retry", ids, state)
    consent("retry", len(ids), state, yes=selected.yes, but=_MAY_RUN if lost else "")
    progress = Progress("retried", len(ids))
    with audit.acting(session, "retry", selected.filters.text()) as act:
        for done in failed.batches(session, ids, with_lost=lost):
            progress.add(len(done))
            act.add(len(done))
    facts = {"retried": progress.count, "ready": progress.count, "blocked": 0}
    return job_selection.all_of(progress, facts, "retried")


def _retry_ids(session: Session, ids: Sequence[int], *, yes: bool) -> output.Result:
    from jobsd.jobs import failed
    from jobsd.operations import audit

    with audit.acting(session, "retry", job_selection.named_ids(ids)) as act:
        batches = failed.batches(session, ids, with_lost=yes)
        retried = {each for done in batches for each in done}
        act.add(len(retried))
    rest = [each for each in ids if each not in retried]
    left = explain(session, rest, partial(failed.refusal, session))
    facts = {"retried": len(retried), "ready": len(retried), "blocked": 0}
    return job_selection.named("retried", len(retried), facts, left)
