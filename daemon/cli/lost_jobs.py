"""`doctor --lost [--fix]`: searches all jobs for those in no table, and makes these ready.

No table says which process had a lost job. A worker that lives reads its claims back every ten
seconds: it drops jobs that it has not started, and the heartbeats of its tree name those that
it runs. So `fix` waits until each living worker has had a heartbeat after that time.
"""

import time
from collections.abc import Sequence

from jobsd import acts, clock, operations
from jobsd.daemon.program import note, program
from jobsd.daemon.values import counted
from jobsd.database.connection import Session
from jobsd.events.events import emit
from jobsd.processes import registry
from jobsd.states import lost

from .doctor import Finding
from .job_selection import lost_ids
from .project import Project

SETTLE_S = 15.0
"""After this time a worker has read its claims back, if it can reach the database."""
_POLL_S = 0.5
_NAMED_MAX = 10


def examine(project: Project, *, fixing: bool) -> Finding:
    """Search all jobs for lost ones; say which, and what became of them."""
    with project.session() as session:
        ids = lost_ids(session, acts.listing.Filter("lost"))
        if not ids:
            return Finding("OK", "lost jobs", "no job is lost")
        if not fixing:
            message = f"{_named(ids)} in no table; `{program()} doctor --lost --fix`"
            return Finding("FAIL", "lost jobs", message)
        with operations.audit.acting(session, "retry", "lost jobs") as act:
            fixed = fix(session, ids, project.options.supervisor.process_alive_threshold_s)
            act.add(len(fixed))
    ready = f"{counted(len(fixed), 'lost job')} made ready"
    left = sorted({*ids} - {*fixed})
    if not left:
        return Finding("OK", "lost jobs", ready)
    message = f"{ready}; not {_named(left)}, which a worker runs, or which have moved"
    return Finding("FAIL", "lost jobs", message)


def fix(session: Session, ids: Sequence[int], threshold_s: float) -> list[int]:
    """Make jobs ready that were just found lost; return them.

    Each is judged again under its lock. Those are left that a worker runs, or that are not lost
    any more. A worker is waited for until it has had a heartbeat, or counts as silent.
    """
    found_at = clock.monotonic()
    if _is_in_doubt(session, found_at, threshold_s):
        note("waiting for the next heartbeat of each worker, which says what it runs")
    while _is_in_doubt(session, found_at, threshold_s):
        time.sleep(_POLL_S)
    fixed = list[int]()
    for start in range(0, len(ids), acts.retries.BATCH):
        with session.connection.transaction():
            held = lost.hold(session, ids[start : start + acts.retries.BATCH])
            done = lost.ready(session, lost.free(session, held))
        if done:
            emit("jobs.retried", size=len(done), job_ids=done)
        fixed += done
    return fixed


def _is_in_doubt(session: Session, found_at: float, threshold_s: float) -> bool:
    """Return whether a worker lives that may not know yet that its claim is gone."""
    said_s = clock.monotonic() - found_at - SETTLE_S
    return any(
        row.kind == "worker"
        and row.heartbeat_age_s > said_s
        and operations.processes.life(row, threshold_s) == "alive"
        for row in registry.processes(session)
    )


def _named(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - _NAMED_MAX:,} more" if len(ids) > _NAMED_MAX else ""
    names = ", ".join(map(str, ids[:_NAMED_MAX]))
    return f"{counted(len(ids), 'job')} ({names}{more})"
