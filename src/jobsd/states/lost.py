"""Lost jobs: jobs that are in no table though they have not ended.

Our code loses no jobs, but a manual change of the tables may, or a defect. A lost job may still
be running, since the process that claimed it may not know. So lost jobs are only found (by
`find`, and by a dispatcher's walk over all jobs), noted and emitted; an operator decides about
them. One snapshot decides whether a job is lost, and each act on it checks that again under the
job's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from jobsd.database.connection import Session, Statements
from jobsd.events.events import emit

if TYPE_CHECKING:
    from jobsd.database.commits import Commits

STATEMENTS = Statements("jobsd.states", "lost.sql")
SOME = STATEMENTS["some"].with_(STATEMENTS["lost"])
_NEXT = STATEMENTS["next"].with_(STATEMENTS["lost"])


class Known(NamedTuple):
    """The number of known lost jobs, and the age of the last walk over all jobs."""

    jobs: int
    walk_age_s: float | None


class Seen(NamedTuple):
    """The lost jobs of one read, the number of jobs that were read, and the last id."""

    lost: list[int]
    size: int
    last_id: int | None


def known(session: Session) -> Known:
    """Return the known facts of lost jobs: from a few rows, whatever the number of jobs."""
    return Known(*session.fetch(STATEMENTS["known"])[0])


def read_next(session: Session, after: int, limit: int) -> Seen:
    """Return the lost ones among the next jobs, by their ids: one statement."""
    return Seen(*session.fetch(_NEXT, {"after": after, "limit": limit})[0])


def find(commits: Commits, ids: Collection[int]) -> None:
    """Note the lost ones among these jobs, and emit the new ones."""
    note(commits, _lost(commits.session, ids))


def note(commits: Commits, lost: list[int]) -> None:
    """Note that these jobs are lost, if they still are; emit the new ones."""
    if not lost:
        return
    session = commits.session
    with commits.commit() as commit:
        rows = session.fetch(STATEMENTS["note"], {"ids": hold(session, lost)})
        if found := [row[0] for row in rows]:
            commit.emit = partial(emit, "jobs.lost", size=len(found), job_ids=found)


def hold(session: Session, ids: Sequence[int]) -> list[int]:
    """Lock the lost ones among these jobs, until the caller's transaction ends.

    Invariant: a statement after the lock checks them again, since its snapshot sees earlier
    changes to them. They are checked before the lock, too, so that no job of a worker is ever
    locked.
    """
    locked = session.fetch(STATEMENTS["lock"], {"ids": _lost(session, ids)})
    return _lost(session, [row[0] for row in locked])


def ready(session: Session, ids: Sequence[int]) -> list[int]:
    """Let lost jobs run again; return them. Within the caller's transaction."""
    return _do(session, "ready", {"ids": hold(session, ids)})


def drop(session: Session, ids: Sequence[int], *, keep: bool) -> list[int]:
    """Discard lost jobs; return them. Within the caller's transaction."""
    return _do(session, "drop", {"ids": hold(session, ids), "keep": keep})


def _lost(session: Session, ids: Collection[int]) -> list[int]:
    lost: list[int] = session.fetch(SOME, {"ids": list(ids)})[0][0] if ids else []
    return lost


def _do(session: Session, name: str, parameters: dict[str, object]) -> list[int]:
    if not parameters["ids"]:
        return []
    rows = session.fetch(STATEMENTS[name], parameters)
    session.fetch(STATEMENTS["forget"], {"ids": parameters["ids"]})
    return [row[0] for row in rows]
