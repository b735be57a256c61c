"""Explains why a job is not running: every reason that the tables show.

An ended job has none; a job that a living process has claimed has at most the request to stop.
A ready job without a reason is about to be claimed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from jobsd import clock
from jobsd.acts import everything, inspect, queues
from jobsd.acts.inspect import Found, Holder
from jobsd.acts.shown_keys import shown_key
from jobsd.database.connection import Session
from jobsd.jobs.selection import Selection
from jobsd.processes import registry
from jobsd.processes.registry import ProcessRow
from jobsd.states import parked, ready

from .health import pause_words
from .processes import life
from .words import counted, length, when

_HOLDERS_NAMED = 10


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its name for programs, a sentence for people, its parameters."""

    reason: str
    sentence: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    def facts(self) -> dict[str, Any]:
        """Return the reason for programs."""
        return {"reason": self.reason, **self.details}


@dataclass(frozen=True, slots=True)
class _Case:
    """A job, all processes of the table, and the living ones."""

    session: Session
    found: Found
    rows: list[ProcessRow]
    alive: list[ProcessRow]

    @property
    def queue(self) -> str:
        return self.found.job.queue_name

    @property
    def has_dispatcher(self) -> bool:
        return any(row.kind == "dispatcher" for row in self.alive)

    @property
    def workers(self) -> list[ProcessRow]:
        """The living workers that claim from the job's queue, without quiet ones."""
        return [
            row
            for row in self.alive
            if row.kind == "worker"
            and not row.metadata.get("quiet")
            and selection(row).matches(self.queue)
        ]


def why(session: Session, found: Found, threshold_s: float) -> list[Reason]:
    """Return all reasons that hold, in the order in which they block the job."""
    rows = registry.processes(session)
    alive = [row for row in rows if life(row, threshold_s) == "alive"]
    case = _Case(session, found, rows, alive)
    match found.job.state:
        case "scheduled":
            return [*_set_aside(found), *_scheduled(case), *_limit(case), *_queue(case)]
        case "blocked":
            return [*_set_aside(found), *_blocked(case), *_queue(case)]
        case "ready":
            return [*_set_aside(found), *_held(case), *_queue(case), *_in_line(case)]
        case "claimed":
            return list(_claimed(case))
        case "lost":
            sentence = (
                "no table says where it is: rows were removed by hand, or this is a defect. It"
                " may still be running; once it is not, discard it, or retry it with --yes"
            )
            return [Reason("lost", sentence)]
        case _:
            return []


def selection(worker: ProcessRow) -> Selection:
    """Return the queues that a worker claims from, according to its row."""
    return Selection(tuple(str(worker.metadata.get("queues", "*")).split(",")))


def _set_aside(found: Found) -> Iterator[Reason]:
    """Yield that no worker that has claimed it could call its function."""
    if (since := found.set_aside_at) is not None:
        sentence = (
            f"it was set aside {when(since)}: its arguments do not fit its function where it"
            " was claimed; it fails if no other worker takes it within"
            " `jobs.unknown_class_after`"
        )
        yield Reason("set_aside", sentence, {"since": since})


def _scheduled(case: _Case) -> Iterator[Reason]:
    until = case.found.job.scheduled_at
    if until is not None and until > clock.utc_now():
        exact = f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        sentence = f"it is scheduled {when(until)}, at {exact}"
        yield Reason("scheduled", sentence, {"until": until})
    elif until is not None:
        sentence = f"it was due {when(until)} and has not been dispatched yet"
        yield Reason("not_dispatched", sentence, {"since": until})
    if not case.has_dispatcher:
        yield Reason("no_dispatcher", "no dispatcher runs that would make it ready")


def _limit(case: _Case) -> Iterator[Reason]:
    """Yield why a scheduled job would be blocked if it were due now."""
    key, limit = case.found.concurrency_key, case.found.concurrency_limit
    if key is None or limit is None:
        return
    held_by = inspect.holders(case.session, key)
    if len(held_by) >= limit:
        yield Reason(
            "limit_reached",
            f"{_of_key(key, limit)}, so it would be blocked now: {_holders(held_by)}",
            {"key": key, "limit": limit, "held_by": [holder.id for holder in held_by]},
        )


def _held(case: _Case) -> Iterator[Reason]:
    """Yield why a limited job waits: a full key, or jobs ahead of it."""
    key = case.found.concurrency_key
    if key is None or not inspect.waits_for_slot(case.session, case.found):
        return
    held_by = inspect.holders(case.session, key)
    if held_by or inspect.blocked_before(case.session, case.found):
        yield next(_blocked(case))


def _blocked(case: _Case) -> Iterator[Reason]:
    key, limit = case.found.concurrency_key or "", case.found.concurrency_limit or 1
    held_by = inspect.holders(case.session, key)
    ahead = inspect.blocked_before(case.session, case.found)
    first = f"; {_jobs(ahead)} before it in line" if ahead else ""
    most = inspect.next_limit(case.session, key) or limit
    if ahead and most != limit:
        first += f"; the first of them lets {most} run at once"
    yield Reason(
        "blocked",
        f"{_of_key(key, limit)}: {_holders(held_by)}{first}",
        {
            "key": key,
            "limit": limit,
            "held_by": [holder.id for holder in held_by],
            "ahead": min(ahead, inspect.AHEAD_MAX),
        },
    )
    if free := max(0, most - len(held_by)):
        sentence = f"a slot of the key {shown_key(key)} is free; the first job in line gets it"
        yield Reason("not_claimed", sentence, {"key": key, "free": free})


def _of_key(key: str, limit: int) -> str:
    return f"concurrency limit {limit} for key {shown_key(key)}"


def _holders(held_by: list[Holder]) -> str:
    if not held_by:
        return "no job holds a slot"
    named = [f"{holder.id} ({holder.state})" for holder in held_by[:_HOLDERS_NAMED]]
    more = len(held_by) - len(named)
    return "held by " + ", ".join([*named, *([f"and {more} more"] if more else [])])


def _claimed(case: _Case) -> Iterator[Reason]:
    if case.found.cancelled:
        sentence = "it was cancelled while it ran: it is discarded unless it succeeds"
        yield Reason("cancelled", sentence)
    process_id = case.found.job.process_id
    if any(row.id == process_id for row in case.alive):
        return
    row = next((row for row in case.rows if row.id == process_id), None)
    name = f"process {process_id}" if row is None else row.name
    beat = "" if row is None else f"; its last heartbeat was {length(row.heartbeat_age_s)} ago"
    details = {"process_id": process_id, "process": None if row is None else row.name}
    yield Reason("process_lost", f"{name} claimed it and is no longer running{beat}", details)


def _queue(case: _Case) -> Iterator[Reason]:
    """Yield what keeps all jobs of the queue from being claimed."""
    if (whole := everything.paused(case.session)) is not None:
        yield Reason(
            "everything_paused",
            f"everything is paused, until `queues resume --all`; {pause_words(whole)}",
            {"by": whole.created_by, "since": whole.created_at, "because": whole.reason},
        )
    for pause in queues.paused(session=case.session):
        if pause.queue_name == case.queue:
            because = f": {pause.reason}" if pause.reason else ""
            yield Reason(
                "paused",
                f"queue {case.queue!r} was paused {when(pause.created_at)} by"
                f" {pause.created_by or 'an unknown user'}{because}",
                {
                    "queue_name": case.queue,
                    "by": pause.created_by,
                    "since": pause.created_at,
                    "because": pause.reason,
                },
            )
    if not case.workers:
        sentence = f"no running worker takes jobs from queue {case.queue!r}"
        yield Reason("no_worker", sentence, {"queue_name": case.queue})
    yield from _unknown(case)


def _unknown(case: _Case) -> Iterator[Reason]:
    """Yield a reason when no worker that claims from its queue has imported its class."""
    ids = {worker.id for worker in case.workers}
    name = case.found.job.class_name
    found = parked.unknown_to(case.session, name, case.queue, ids)
    if not found:
        return
    (since,) = found
    noticed = f" (noticed {when(since)})" if since else ""
    yield Reason(
        "unknown_class",
        f"no worker that takes jobs from queue {case.queue!r} knows class {name!r}{noticed};"
        " the job fails if none does within `jobs.unknown_class_after`",
        {"class_name": name, "queue_name": case.queue, "since": since},
    )


def _in_line(case: _Case) -> Iterator[Reason]:
    """Yield the jobs ahead of a ready job."""
    if ahead := inspect.ahead(case.session, case.found):
        come = "comes" if ahead == 1 else "come"
        yield Reason(
            "behind",
            f"{_jobs(ahead)} of queue {case.queue!r} {come} before it",
            {"queue_name": case.queue, **_count(ahead)},
        )
    if others := _elsewhere(case):
        sentence = f"every worker takes {_jobs(others)} of other queues first"
        yield Reason("behind_others", sentence, _count(others))
    workers = case.workers
    claimed = inspect.claimed(case.session)
    taken = {row.id: claimed.get(row.id, 0) for row in workers}
    if workers and all(taken[row.id] >= _threads(row) for row in workers):
        threads = sum(map(_threads, workers))
        yield Reason(
            "busy",
            f"all {threads} threads that could run it are busy"
            if threads > 1
            else "the only thread that could run it is busy",
            {"workers": len(workers), "threads": threads, "claimed": sum(taken.values())},
        )


def _jobs(ahead: int) -> str:
    return counted(ahead, "job", most=inspect.AHEAD_MAX)


def _count(ahead: int) -> dict[str, Any]:
    more = {"at_least": True} if ahead > inspect.AHEAD_MAX else {}
    return {"jobs": min(ahead, inspect.AHEAD_MAX), **more}


def _elsewhere(case: _Case) -> int:
    """Return the number of jobs ahead in other queues, for the worker with the fewest."""
    selections = {selection(worker) for worker in case.workers}
    counts = [
        inspect.elsewhere(case.session, case.found, _before(case, each)) for each in selections
    ]
    return min(counts, default=0)


def _before(case: _Case, selected: Selection) -> list[str] | None:
    if selected.everything:
        return None
    known = selected.resolve(ready.survey(case.session).names)
    return known[: known.index(case.queue)] if case.queue in known else known


def _threads(row: ProcessRow) -> int:
    threads = row.metadata.get("threads")
    return threads if isinstance(threads, int) else 1
