"""Compares what the jobs did with what was promised and recorded. Every figure has to be 0.

At least once means: a run whose process died counts as an attempt, and a run whose process
was asked to leave (or whose whole tree was lost, so that nobody knows what ran) may be
repeated without being counted. So *run too often* is:

- an attempt beyond the job's last one;
- a start by a process that had not claimed the job, twice for one claim, or after its
  claim was taken away;
- a start that no attempt was recorded for, unless the job asked to be run again, its
  process was asked to leave, its tree was lost, or stood still and was declared dead.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from chaos import jobs
from chaos.answers import (
    answered_wrongly,
    kept_out_wrongly,
    logged_wrongly,
    replaced_wrongly,
)
from chaos.bounded_jobs import SEALED
from chaos.bounds import begun_late, effects, overlaps, two_of_one_key, unlawful_ends
from chaos.excuses import Excuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.evidence import Evidence, StoredJob

CRASHES = {"ProcessExitError", "ProcessPrunedError", "ProcessMissingError"}
STRIKES = {"TimeLimitExceeded"}
"""What may come from outside, also where a job has said how it ended and returns."""


def figures(evidence: Evidence) -> dict[str, list[str]]:
    """Return what is wrong, by figure; a figure without faults has an empty list."""
    checks: dict[str, Callable[[Evidence], Iterator[str]]] = {
        "lost": _lost,
        "there though rolled back": _ghosts,
        "stored in part": _parts,
        "stored twice": _stored_twice,
        "recorded twice": _recorded_twice,
        "recorded wrongly": _recorded_wrongly,
        "ended unlawfully": unlawful_ends,
        "effects not once": effects,
        "begun too late": begun_late,
        "two of one key": two_of_one_key,
        "answered wrongly": answered_wrongly,
        "replaced wrongly": replaced_wrongly,
        "kept out wrongly": kept_out_wrongly,
        "logged wrongly": logged_wrongly,
        "run too often": _run_too_often,
        "limit exceeded": _limit_exceeded,
        "slots leaked": _slots_leaked,
        "in two places": _in_two_places,
        "stuck": _stuck,
        "left behind": lambda each: iter(each.remains),
        "own errors": lambda each: iter(each.errors),
    }
    return {name: list(check(evidence)) for name, check in checks.items()}


def _lost(evidence: Evidence) -> Iterator[str]:
    stored = {job.n for job in evidence.jobs}
    for intent in evidence.intents:
        if intent.state == "committed" and intent.n not in stored:
            yield f"{intent} is not there"
    ids = {job.id for job in evidence.jobs}
    yield from (f"planned job {each} is not there" for each in set(evidence.planned) - ids)
    waiting = {each for found in evidence.waiting.values() for each in found}
    for job in evidence.jobs:
        if job.outcome is None and job.error is None and job.id not in waiting:
            yield f"{job} is nowhere"
    yield from evidence.seen.get("in no place", [])


def _ghosts(evidence: Evidence) -> Iterator[str]:
    stored = {job.n: job for job in evidence.jobs}
    for intent in evidence.intents:
        if intent.state in {"absent", "discarded", "duplicate"} and intent.n in stored:
            yield f"{intent}: {stored[intent.n]}"


def _parts(evidence: Evidence) -> Iterator[str]:
    stored = {job.n for job in evidence.jobs}
    groups: defaultdict[int, list[bool]] = defaultdict(list)
    for intent in evidence.intents:
        there = intent.n in stored
        # Of a group whose fate nobody knows, some may have been kept out by their limits.
        if intent.group and intent.state == "committed":
            groups[intent.group].append(there)
        if intent.ordered and there is not (intent.group in evidence.orders):
            yield f"{intent}: job {there}, order {not there}"
    yield from (
        f"group {key}: {set(found)}" for key, found in groups.items() if len(set(found)) > 1
    )


def _stored_twice(evidence: Evidence) -> Iterator[str]:
    numbers = Counter(job.n for job in evidence.jobs if job.n)
    yield from (f"number {n}: {times} jobs" for n, times in numbers.items() if times > 1)
    instants = Counter(evidence.planned)
    yield from (
        f"job {each}: {times} instants" for each, times in instants.items() if times > 1
    )
    for job in evidence.jobs:
        if not job.n and job.id not in instants:
            yield f"{job} is of no planned instant"


def _recorded_twice(evidence: Evidence) -> Iterator[str]:
    touched = evidence.touched
    for each in evidence.recordings:
        anew = each.attempts == 0 and each.job_id in touched
        if each.outcome_before is not None:
            yield f"after its end: {each}"
        elif each.attempts - each.attempts_before not in {0, 1} and not anew:
            yield f"more than one attempt at once: {each}"
    # Who is retried by hand begins anew with its attempts.
    times = Counter(each for each in evidence.attempts if each[0] not in touched)
    for attempt, many in times.items():
        if many > 1:
            yield f"(job, attempt) {attempt}: {many} times"
    failures = Counter(job_id for job_id, _ in evidence.attempts)
    for job in evidence.jobs:
        kept = failures[job.id] + (job.outcome == "finished")
        if job.attempts != kept and job.id not in touched and job.outcome != "erased":
            yield f"{job}: {failures[job.id]} failed attempts are kept"


def _recorded_wrongly(evidence: Evidence) -> Iterator[str]:
    results: defaultdict[tuple[int, int], set[str | None]] = defaultdict(set)
    ended_as: dict[int, str | None] = {}
    for run in sorted(evidence.runs, key=lambda each: each.began):
        results[run.job_id, run.attempt].add(run.result)
        ended_as[run.job_id] = run.result
    held = {each.job_id: each for each in sorted(evidence.holdings, key=lambda one: one.made)}
    for job in evidence.jobs:
        # Who is stopped, or kept from being tried again, had ended in any way before.
        stopped = job.outcome == "erased" and (
            job.id in evidence.cancelled or job.id in evidence.deadlines
        )
        wanted = set[str | None]() if stopped else _wanted(job)
        # The last attempt of a job that is erased is not counted any more.
        found = results[job.id, job.attempts + (job.outcome == "erased")]
        # One that comes due and may not wait for its limit is erased, whether it never ran or
        # comes back from a snooze.
        last = held.get(job.id)
        by_limit = job.outcome == "erased" and (
            last is None or (ended_as.get(job.id) == "Snooze" and not last.recorded)
        )
        dropped = job.outcome in {"discarded", "erased"} and job.id in evidence.touched
        if wanted and not wanted & found and not dropped and not by_limit:
            yield f"{job}: its last runs ended as {found}"


def _wanted(job: StoredJob) -> set[str | None]:
    """Return how a job's last run may have ended; nothing when that can't be said."""
    if job.class_name == "chaos.sealed_alone" and job.outcome in {"finished", "erased"}:
        return set()  # it goes on behind its commit, and may be killed there
    if job.outcome == "finished":
        return {"NoneType"}
    if job.outcome == "discarded":
        return {"Discard"} if job.attempts and job.reason is None else set()
    if job.outcome == "erased":
        return {"NoneType", "Discard"}
    # One that has a transaction of its own may fail behind its work, when that is committed.
    said = job.error not in CRASHES | STRIKES and job.class_name not in SEALED
    return {job.error} if job.error is not None and said else set()


def _run_too_often(evidence: Evidence) -> Iterator[str]:
    most = {job.id: job.max_attempts for job in evidence.jobs}
    excuses = Excuses(evidence)
    for run in evidence.runs:
        if run.attempt > most.get(run.job_id, 1):
            yield f"beyond the last attempt: {run}"
    for job in evidence.jobs:
        if job.attempts > job.max_attempts:
            yield f"more attempts than it may have: {job}"
    yield from excuses.faults()


def _limit_exceeded(evidence: Evidence) -> Iterator[str]:
    yield from overlaps(evidence, jobs.LIMITS)
    yield from evidence.seen.get("more slots than the limit", [])
    yield from evidence.seen.get("limited job without slot", [])


def _slots_leaked(evidence: Evidence) -> Iterator[str]:
    yield from (f"{key}: job {job_id}" for key, job_id in evidence.slots)
    yield from evidence.seen.get("slot without its job", [])


def _in_two_places(evidence: Evidence) -> Iterator[str]:
    yield from evidence.seen.get("in two places", [])
    yield from evidence.seen.get("a place without a job", [])
    found = Counter(each for members in evidence.waiting.values() for each in members)
    for job in evidence.jobs:
        places = found[job.id] + (job.outcome is not None) + (job.error is not None)
        if places > 1:
            yield f"{job} in {places}"


def _stuck(evidence: Evidence) -> Iterator[str]:
    # The recurring task goes on until the trees end.
    ticks = {job.id for job in evidence.jobs if not job.n}
    for place, members in evidence.waiting.items():
        late = ticks if place == "ready" else set[int]()
        yield from (f"{place}: job {each}" for each in members if each not in late)


def wrong(reported: Evidence) -> set[str]:
    """Return the figures that are not 0."""
    return {name for name, faults in figures(reported).items() if faults}
