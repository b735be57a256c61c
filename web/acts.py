"""The acts of visitors: each is a POST, redirects to a page, and leaves an audit row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import quote

from jobsd.acts import cancels, discards, inspect, moves, queues, retries
from jobsd.database.connection import Session
from jobsd.errors import NotFoundError, RefusedError
from jobsd.operations import audit
from jobsd.operations.bulk import ACTS as BULK
from jobsd.operations.bulk import BulkAct, How
from jobsd.operations.words import counted
from jobsd.recurring import runs, tasks

from . import bulk, guard
from .bulk import CHOSEN, whole
from .settings import Settings

_UNWRITTEN: Any = None
# Registers its job, so that it can be enqueued from here.
import_module("jobsd.heartbeat.job")


@dataclass(frozen=True, slots=True)
class Acting:
    """A request for an act: its user, target and fields; the session commits each statement."""

    session: Session
    visitor: guard.Visitor
    settings: Settings
    names: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an act, for people and for programs, and the page to go on with."""

    sentence: str
    page: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """One act: its path, its name, the role that it needs, and its function."""

    pattern: re.Pattern[str]
    name: str
    role: str
    perform: Perform
    audited: bool = True
    """Whether `perform` writes its audit row; otherwise the act writes its own."""


Perform = Callable[[Acting, audit.Act], Done]
ACTS: list[Act] = []
"""All acts, once the modules that define them are imported (see `find`)."""
_MORE = ("more_acts",)


def act(path: str, role: str, *, audited: bool = True) -> Callable[[Perform], Perform]:
    """Make a function an act; `<name>` in its path stands for any text."""
    pattern = re.compile(re.sub(r"<(\w+)>", r"(?P<\1>.+)", path))

    def add(
        perform: Callable[[Acting, audit.Act], Done],
    ) -> Callable[[Acting, audit.Act], Done]:
        ACTS.append(Act(pattern, path.rpartition("/")[2], role, perform, audited))
        return perform

    return add


def find(path: str) -> tuple[Act, dict[str, str]] | None:
    """Return the act of a path, and the names in the path; None if there is no act."""
    for module in _MORE:
        import_module(f"jobsd.web.{module}")
    for each in ACTS:
        if found := each.pattern.fullmatch(path.removeprefix("/api/v1")):
            return each, found.groupdict()
    return None


def perform(what: Act, acting: Acting) -> Done:
    """Perform an act, and record it in the audit."""
    if not what.audited:
        return what.perform(acting, _UNWRITTEN)
    target = _target(what, acting)
    with audit.acting(
        acting.session, what.name, target, actor=acting.visitor.name, via="dashboard"
    ) as written:
        return what.perform(acting, written)


@act("/jobs/<id>/retry", "operator")
def retry_job(acting: Acting, written: audit.Act) -> Done:
    """Retry a failed job."""
    job_id = _id(acting)
    state = retries.retry(job_id, session=acting.session)
    written.add(1)
    return Done(
        f"Job {job_id} is {state} again.", f"/jobs/{job_id}", {"id": job_id, "state": state}
    )


@act("/jobs/<id>/discard", "operator")
def discard_job(acting: Acting, written: audit.Act) -> Done:
    """Discard a job that is not running."""
    job_id, keep = _id(acting), acting.settings.keep_finished
    before = discards.discard(job_id, keep=keep, session=acting.session)
    written.add(1)
    page = f"/jobs/{job_id}" if keep else "/jobs"
    sentence = f"Job {job_id} was {before}, and is discarded."
    return Done(sentence, page, {"id": job_id, "state": "discarded"})


@act("/jobs/<id>/cancel", "operator")
def cancel_job(acting: Acting, written: audit.Act) -> Done:
    """Stop a running job, or discard a waiting one."""
    job_id, keep = _id(acting), acting.settings.keep_finished
    before = cancels.cancel(job_id, keep=keep, session=acting.session)
    written.add(1)
    if before == "claimed":
        sentence = f"Job {job_id} is running, and is being stopped."
        return Done(sentence, f"/jobs/{job_id}", {"id": job_id, "state": "claimed"})
    page = f"/jobs/{job_id}" if keep else "/jobs"
    sentence = f"Job {job_id} was {before}, and is discarded."
    return Done(sentence, page, {"id": job_id, "state": "discarded"})


@act("/jobs/<id>/run", "operator")
def run_job(acting: Acting, written: audit.Act) -> Done:
    """Make a scheduled job due now."""
    job_id = _id(acting)
    if not any(moves.run_batches(acting.session, [job_id])):
        raise RefusedError(f"job {job_id} is not scheduled, so it can't be run earlier")
    written.add(1)
    sentence = f"Job {job_id} is due now: a dispatcher makes it ready."
    return Done(sentence, f"/jobs/{job_id}", {"id": job_id, "state": "scheduled"})


@act("/jobs/<id>/move", "admin")
def move_job(acting: Acting, written: audit.Act) -> Done:
    """Move a waiting job to another queue or priority."""
    job_id, queue = _id(acting), acting.form.get("queue", "").strip() or None
    given = acting.form.get("priority", "").strip()
    priority = whole(given) if given else None
    if not any(moves.batches(acting.session, [job_id], queue, priority)):
        inspect.find(acting.session, job_id)
        raise RefusedError(
            f"job {job_id} does not wait, or is just being claimed, so it was not moved"
        )
    written.add(1)
    to = [*([f"queue {queue}"] if queue else []), *([f"priority {given}"] if given else [])]
    facts = {"id": job_id, "queue_name": queue, "priority": priority}
    return Done(f"Job {job_id} has {' and '.join(to)} now.", f"/jobs/{job_id}", facts)


@act("/bulk", "operator", audited=False)
def begin_bulk(acting: Acting, written: audit.Act) -> Done:
    """Begin an act on many jobs in the background."""
    del written
    settings = acting.settings
    chosen = BULK.get(acting.form.get("act", ""))
    guard.require_may(acting.visitor, chosen.role if chosen else "operator", settings)
    begun = bulk.begin(
        acting.session,
        settings.target,
        acting.form,
        actor=acting.visitor.name,
        hidden=frozenset(settings.filter_arguments),
        keep=settings.keep_finished,
    )
    return Done(begun.sentence, f"/bulk/{begun.id}", {"id": begun.id})


@act("/chosen", "operator", audited=False)
def act_on_chosen(acting: Acting, written: audit.Act) -> Done:
    """Retry, run or discard (`act`) the jobs that fields like `job.ID` name."""
    del written
    ids = sorted(_whole_id(name[4:]) for name in acting.form if name.startswith("job."))
    name = acting.form.get("act", "")
    if name not in CHOSEN:
        raise NotFoundError(
            f"there is no such act on chosen jobs; the acts are {', '.join(CHOSEN)}"
        )
    if not ids:
        raise RefusedError("nothing was done: choose some jobs first")
    chosen, how = BULK[name], How(acting.settings.keep_finished)
    guard.require_may(acting.visitor, chosen.role, acting.settings)
    target = f"jobs {', '.join(map(str, ids))}"
    with audit.acting(
        acting.session, name, target, actor=acting.visitor.name, via="dashboard"
    ) as under_way:
        done = sum(chosen.do(acting.session, ids, how))
        under_way.add(done, skipped=len(ids) - done)
    query = acting.form.get("q", "")
    page = f"/jobs?q={quote(query, safe='')}" if query else "/jobs"
    facts = {"act": name, "jobs": done, "skipped": len(ids) - done}
    return Done(_reported(chosen, done, len(ids)), page, facts)


def _reported(chosen: BulkAct, done: int, of: int) -> str:
    """Return the number of chosen jobs that were changed, and why the others were not."""
    sentence = f"{chosen.name.capitalize()}: done to {counted(done, 'job')}."
    if done == of:
        return sentence
    may_be = " or ".join(chosen.states)
    return f"{sentence[:-1]} of {of}; the others are not {may_be}."


@act("/queues/<queue>/pause", "operator")
def pause_queue(acting: Acting, written: audit.Act) -> Done:
    """Pause a queue."""
    del written
    name, reason = acting.names["queue"], acting.form.get("reason", "").strip() or None
    queues.pause(name, reason, by=acting.visitor.name, session=acting.session)
    return Done(f"Queue {name} is paused.", "/queues", {"queue_name": name, "paused": True})


@act("/queues/<queue>/resume", "operator")
def resume_queue(acting: Acting, written: audit.Act) -> Done:
    """Resume a queue."""
    del written
    name = acting.names["queue"]
    if not queues.resume(name, session=acting.session):
        raise RefusedError(f"queue {name!r} is not paused")
    return Done(f"Queue {name} is resumed.", "/queues", {"queue_name": name, "paused": False})


@act("/queues/<queue>/clear", "admin")
def clear_queue(acting: Acting, written: audit.Act) -> Done:
    """Discard the ready jobs of a queue; `confirm` must be its name."""
    name = acting.names["queue"]
    if acting.form.get("confirm") != name:
        raise RefusedError(
            f"nothing was discarded: type the name of the queue, {name}, to confirm"
        )
    cleared = queues.clear(name, keep=acting.settings.keep_finished, session=acting.session)
    written.add(cleared)
    sentence = f"{counted(cleared, 'ready job')} of queue {name} discarded."
    return Done(sentence, "/queues", {"queue_name": name, "discarded": cleared})


@act("/recurring/<task>/run", "operator")
def run_task(acting: Acting, written: audit.Act) -> Done:
    """Enqueue a task's job now, beside its schedule."""
    task = tasks.get(acting.session, acting.names["task"])
    job = runs.run_now(acting.session, task)
    written.add(int(job.id is not None))
    sentence = (
        f"Enqueued as job {job.id}." if job.id else "Discarded, because its limit is reached."
    )
    return Done(sentence, task_page(task.key), {"id": job.id, "state": job.state})


@act("/recurring/<task>/enable", "admin")
def enable_task(acting: Acting, written: audit.Act) -> Done:
    """Let a task run by its schedule."""
    del written
    key = acting.names["task"]
    tasks.enable(acting.session, key)
    return Done(f"Task {key} is enabled.", task_page(key), {"key": key, "enabled": True})


@act("/recurring/<task>/disable", "admin")
def disable_task(acting: Acting, written: audit.Act) -> Done:
    """Stop a task, also one of a file, from running by its schedule until it is enabled."""
    del written
    key = acting.names["task"]
    tasks.disable(acting.session, key, by=acting.visitor.name)
    return Done(f"Task {key} is disabled.", task_page(key), {"key": key, "enabled": False})


def _target(what: Act, acting: Acting) -> str:
    """Return the target of an act for the audit: the text of its path or of its form."""
    for kind, name in acting.names.items():
        return f"{'job' if kind == 'id' else kind} {name}"
    key = acting.form.get("key", "").strip()
    return f"task {key}" if key else what.pattern.pattern.split("/")[1]


def task_page(key: str) -> str:
    """Return the path of the page of a recurring task."""
    return f"/recurring/{quote(key, safe='')}"


def _id(acting: Acting) -> int:
    return _whole_id(acting.names["id"])


def _whole_id(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise NotFoundError(f"{given!r:.40} is no job's id")
    return int(given)
