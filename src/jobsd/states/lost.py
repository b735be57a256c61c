"""Lost jobs: jobs that are in no table though they have not ended.

Our code loses no jobs, but a manual change of the tables may, or a defect. A lost job may still
be running, since the process that claimed it may not know. So jobsd searches for lost jobs only
when an operator asks, and the operator decides about them. One snapshot decides whether a job
is lost, and each act on it checks that again under the job's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobsd.database.connection import Statements

if TYPE_CHECKING:
    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.states", "lost.sql")


def hold(session: Session, ids: Sequence[int]) -> list[int]:
    """Lock those of some jobs that are lost, until the caller's transaction ends.

    Invariant: a statement after the lock checks them again, since its snapshot includes all
    changes up to the lock. They are checked before the lock, too, so that no claimed job is
    ever locked.
    """
    locked = _ids(session, "lock", _ids(session, "some", ids))
    return _ids(session, "some", locked)


def free(session: Session, ids: Sequence[int]) -> list[int]:
    """Return the lost jobs that no worker runs, according to the last heartbeats."""
    return _ids(session, "free", ids)


def ready(session: Session, ids: Sequence[int]) -> list[int]:
    """Make lost jobs ready; return them. Within the caller's transaction."""
    return _ids(session, "ready", hold(session, ids))


def drop(session: Session, ids: Sequence[int], *, keep: bool) -> list[int]:
    """Discard jobs that are lost; return them. Within the caller's transaction."""
    if held := hold(session, ids):
        session.fetch(STATEMENTS["drop"], {"ids": held, "keep": keep})
    return held


def _ids(session: Session, name: str, ids: Sequence[int]) -> list[int]:
    """Return the ids that a statement selects; without ids it sends nothing."""
    rows = session.fetch(STATEMENTS[name], {"ids": list(ids)}) if ids else []
    return [row[0] for row in rows]
