"""Checks what is promised of jobs that are bounded: which ends are lawful for which job.

- A cancelled job has finished, or is discarded as cancelled; no other end, and no other
  job, has this reason. What waited when it was cancelled can't even finish.
- Only what has a time expires, not long before it, and nothing is begun after it.
- Only what has a time limit fails by one.
- Of a key of unique jobs (until they have finished) no two run at once, nor are there.
- Who ends in a transaction of his own has finished if and only if that is committed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from chaos.bounded_jobs import SEALED, TIMED, UNIQUE
from chaos.excuses import Excuses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chaos.evidence import Evidence, Run, StoredJob

EARLY_S = 15.0
"""A worker reckons from when it has asked, and the server may have stood still for so long."""
LATE_S = 0.5
"""How long it may take, on a busy machine, from the last look at the time to the first line."""


def unlawful_ends(evidence: Evidence) -> Iterator[str]:
    """Yield the jobs that ended as they may not."""
    have_run = {run.job_id for run in evidence.runs}
    for job in evidence.jobs:
        if job.error == "TimeLimitExceeded" and job.class_name not in TIMED:
            yield f"has no time limit: {job}"
        if job.reason == "expired":
            due = evidence.deadlines.get(job.id)
            if due is None:
                yield f"does not expire: {job}"
            # One that would be tried again afterwards is discarded before.
            elif job.id not in have_run and job.ended and job.ended < due - EARLY_S:
                yield f"expires at {due}: {job}"
        if job.reason == "cancelled" and job.id not in evidence.cancelled:
            yield f"nobody has cancelled {job}"
        yield from _after_cancel(job, evidence.cancelled.get(job.id, "unknown"))


def _after_cancel(job: StoredJob, state: str) -> Iterator[str]:
    if state == "unknown" or job.outcome == "erased" or job.reason == "cancelled":
        return
    if state != "claimed" or job.outcome != "finished":
        yield f"was {state} when it was cancelled: {job}"


def begun_late(evidence: Evidence) -> Iterator[str]:
    """Yield the runs that began when their job had expired."""
    excuses = Excuses(evidence)
    for run in evidence.runs:
        due = evidence.deadlines.get(run.job_id)
        if due is not None and run.began > due + LATE_S and not excuses.was_frozen(run):
            yield f"{run.began - due:.3f} s after it had expired: {run}"


def two_of_one_key(evidence: Evidence) -> Iterator[str]:
    """Yield what there was twice of one key."""
    yield from overlaps(evidence, UNIQUE)
    yield from evidence.seen.get("two of one key", [])


def effects(evidence: Evidence) -> Iterator[str]:
    """Yield the jobs that ended without their effects, or the other way round."""
    times = Counter(evidence.effects)
    yield from (f"number {n}: {many} times" for n, many in times.items() if many > 1)
    for job in evidence.jobs:
        if job.class_name in SEALED and job.outcome != "erased":
            finished = job.outcome == "finished"
            if finished is not (job.n in times):
                yield f"{job}: effects {not finished}"


def overlaps(evidence: Evidence, limits: Mapping[str, int]) -> Iterator[str]:
    """Yield where more ran of a key than its class lets."""
    excuses = Excuses(evidence)
    by_key: defaultdict[str, list[tuple[float, int, Run]]] = defaultdict(list)
    for run in evidence.runs:
        if run.key.partition("/")[0] in limits:
            end = max(run.began, excuses.end_of(run))
            # One that began after its process was last seen alive takes no time.
            if end > run.began:
                by_key[run.key] += [(run.began, 1, run), (end, -1, run)]
    for key, events in by_key.items():
        most = limits[key.partition("/")[0]]
        running: list[Run] = []
        # At one moment who ends goes before who begins.
        for _, step, run in sorted(events, key=lambda event: event[:2]):
            if step > 0:
                running.append(run)
                if len(running) > most:
                    yield f"{key}: {running}"
            else:
                running.remove(run)
