"""`retry`: let failed jobs run anew."""

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

_MAY_RUN = ", which may still be running"
_EXAMPLES = """
retry 4711
retry 4711 4712 --json
retry --all --class app.mail.welcome --since 1h --yes
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@chosen
@as_json
@on_project
def command(project: Project, /, *, choice: Choice, as_json: bool) -> int:
    """Let failed jobs run anew, with all their attempts before them; prints how many.

    What went wrong before is kept. A lost job (in no table) may still be running: it is
    retried with --yes only, by its id or by --all --state lost. Exit 5 for an id that there
    is not, 6 for a job that has not failed, and for --all without --yes.
    """
    with project.session() as session:
        if choice.everything:
            return _retry_all(session, choice, as_json=as_json)
        return _retry_ids(session, choice.ids, yes=choice.yes, as_json=as_json)


def _retry_ids(session: Session, ids: Sequence[int], *, yes: bool, as_json: bool) -> int:
    from jobsd.daemon.choice import explain, print_ids
    from jobsd.jobs import failed

    ready, blocked = set[int](), set[int]()
    for done in failed.batches(session, ids, with_lost=yes):
        ready.update(done.ready)
        blocked.update(done.blocked)
    retried = ready | blocked
    left = explain(session, [each for each in ids if each not in retried], failed.refusal)
    facts = {"retried": len(retried), "ready": len(ready), "blocked": len(blocked)}
    return print_ids(len(retried), facts, left, as_json=as_json)


def _retry_all(session: Session, choice: Choice, *, as_json: bool) -> int:
    from jobsd.daemon.choice import Progress, consent, print_all
    from jobsd.errors import RefusedError
    from jobsd.jobs import failed, listing

    filters = choice.filters
    state = filters.state or "failed"
    if state not in {"failed", "lost"}:
        raise RefusedError(f"{state} jobs have not failed: there is nothing to retry")
    lost = state == "lost"
    ids = listing.ids(session, filters.meant().of(state), filters.limit)
    consent("retry", len(ids), state, yes=choice.yes, but=_MAY_RUN if lost else "")
    progress, ready = Progress("retried", len(ids)), 0
    for done in failed.batches(session, ids, with_lost=lost):
        progress.add(len(done.ready) + len(done.blocked))
        ready += len(done.ready)
    facts = {"retried": progress.count, "ready": ready, "blocked": progress.count - ready}
    return print_all(progress, facts, as_json=as_json)
