"""`discard`: drop jobs that do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.filters import chosen
from jobsd.daemon.verbs import Verb, as_json, on_project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.daemon.filters import Choice
    from jobsd.daemon.project import Project
    from jobsd.database.connection import Session

_EXAMPLES = """
discard 4711
discard 4711 4712 --json
discard --all --state scheduled --queue mail --yes
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@chosen
@as_json
@on_project
def command(project: Project, /, *, choice: Choice, as_json: bool) -> int:
    """Drop jobs that are scheduled, ready, blocked, failed or lost; prints how many.

    Exit 5 for an id that there is not, 6 for a job that runs or has ended, and for --all
    without --yes.
    """
    keep = project.options.jobs.preserve_finished_jobs
    with project.session() as session:
        if choice.everything:
            return _discard_all(session, choice, keep=keep, as_json=as_json)
        return _discard_ids(session, choice.ids, keep=keep, as_json=as_json)


def _discard_ids(session: Session, ids: Sequence[int], *, keep: bool, as_json: bool) -> int:
    from jobsd.daemon.choice import explain, print_ids
    from jobsd.jobs import discards

    gone = set[int]()
    for done in discards.batches(session, ids, keep=keep):
        gone.update(done.jobs)
    left = explain(session, [each for each in ids if each not in gone], discards.refusal)
    return print_ids(len(gone), {"discarded": len(gone)}, left, as_json=as_json)


def _discard_all(session: Session, choice: Choice, *, keep: bool, as_json: bool) -> int:
    from jobsd.daemon.choice import Progress, consent, print_all
    from jobsd.jobs import discards

    filters = choice.filters
    ids = discards.ids(session, filters.meant(), filters.limit)
    consent("discard", len(ids), filters.state, yes=choice.yes)
    progress = Progress("discarded", len(ids))
    for done in discards.batches(session, ids, keep=keep):
        progress.add(len(done.jobs))
    return print_all(progress, {"discarded": progress.count}, as_json=as_json)
