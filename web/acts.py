"""What visitors can do: each act is a POST, leads back to a page, and leaves an audit row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jobsd.errors import NotFoundError, RefusedError
from jobsd.jobs import discards, failed, queues
from jobsd.operations import audit
from jobsd.operations.words import counted
from jobsd.recurring import runs, tasks

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .guard import Visitor
    from .settings import Settings

# So that its job can be enqueued from here.
import_module("jobsd.heartbeat.job")


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts on what, with which fields; the session commits each statement by itself."""

    session: Session
    visitor: Visitor
    settings: Settings
    names: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, for people and for programs, and the page to go on with."""

    sentence: str
    page: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """One act: its path, its name, the role that it needs, the function that does it."""

    pattern: re.Pattern[str]
    name: str
    role: str
    perform: Perform


Perform = Callable[[Acting, audit.Act], Done]
_ACTS: list[Act] = []


def act(path: str, role: str) -> Callable[[Perform], Perform]:
    """Make a function an act; `<name>` in its path stands for any text."""
    pattern = re.compile(re.sub(r"<(\w+)>", r"(?P<\1>.+)", path))

    def add(
        perform: Callable[[Acting, audit.Act], Done],
    ) -> Callable[[Acting, audit.Act], Done]:
        _ACTS.append(Act(pattern, path.rpartition("/")[2], role, perform))
        return perform

    return add


def find(path: str) -> tuple[Act, dict[str, str]] | None:
    """Return the act of a path, and what its parts name; None when there is none."""
    for each in _ACTS:
        if found := each.pattern.fullmatch(path.removeprefix("/api/v1")):
            return each, found.groupdict()
    return None


def perform(what: Act, acting: Acting) -> Done:
    """Do it, and write it down."""
    kind, name = next(iter(acting.names.items()))
    target = f"{'job' if kind == 'id' else kind} {name}"
    with audit.acting(
        acting.session, what.name, target, actor=acting.visitor.name, via="dashboard"
    ) as written:
        return what.perform(acting, written)


@act("/jobs/<id>/retry", "operator")
def retry_job(acting: Acting, written: audit.Act) -> Done:
    """Retry a failed job."""
    job_id = _id(acting)
    state = failed.retry(job_id, session=acting.session)
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


@act("/jobs/<id>/run", "operator")
def run_job(acting: Acting, written: audit.Act) -> Done:
    """Let a scheduled job run now."""
    job_id = _id(acting)
    if not audit.run_now(acting.session, job_id):
        raise RefusedError(
            f"job {job_id} is not scheduled, so nothing keeps it from running later"
        )
    written.add(1)
    sentence = f"Job {job_id} is due now: a dispatcher makes it ready."
    return Done(sentence, f"/jobs/{job_id}", {"id": job_id, "state": "scheduled"})


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
    """Discard the ready jobs of a queue, once its name was typed."""
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
    written.add(job.id is not None)
    sentence = f"Enqueued as job {job.id}." if job.id else "Discarded: its limit is reached."
    return Done(sentence, _task_page(task.key), {"id": job.id, "state": job.state})


@act("/recurring/<task>/enable", "admin")
def enable_task(acting: Acting, written: audit.Act) -> Done:
    """Let a task run by its schedule."""
    del written
    return _turn(acting, enabled=True)


@act("/recurring/<task>/disable", "admin")
def disable_task(acting: Acting, written: audit.Act) -> Done:
    """Let a task no longer run by its schedule."""
    del written
    return _turn(acting, enabled=False)


def _turn(acting: Acting, *, enabled: bool) -> Done:
    key = acting.names["task"]
    tasks.set_enabled(acting.session, key, enabled=enabled)
    word = "enabled" if enabled else "disabled"
    return Done(f"Task {key} is {word}.", _task_page(key), {"key": key, "enabled": enabled})


def _task_page(key: str) -> str:
    return f"/recurring/{quote(key, safe='')}"


def _id(acting: Acting) -> int:
    given = acting.names["id"]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise NotFoundError(f"{given!r:.40} is no job's id")
    return int(given)
