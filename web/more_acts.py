"""More acts: on recurring tasks that no file defines, the heartbeat, and processes."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from jobsd import machine
from jobsd.database.statements import Statements
from jobsd.enqueueing import enqueue
from jobsd.errors import Error, NotFoundError, RefusedError
from jobsd.heartbeat.job import HeartbeatJob
from jobsd.jobs import registry
from jobsd.processes import registry as processes
from jobsd.processes.process import QUIET
from jobsd.processes.registry import ProcessRow
from jobsd.recurring import definition, tasks
from jobsd.schedules import ScheduleError

from .acts import Acting, Done, act, task_page
from .bulk import whole

if TYPE_CHECKING:
    from jobsd.operations import audit

STATEMENTS = Statements("jobsd.web", "more_acts.sql")


@act("/heartbeats/run", "operator")
def run_heartbeat(acting: Acting, written: audit.Act) -> Done:
    """Enqueue the heartbeat job once, beside its schedule."""
    job = enqueue.enqueue_alone(acting.session, HeartbeatJob.with_args())
    written.add(1)
    sentence = f"Enqueued as job {job.id}: its row is written once a worker has run it."
    return Done(sentence, "/heartbeats", {"id": job.id, "state": job.state})


@act("/recurring/add", "admin")
def add_task(acting: Acting, written: audit.Act) -> Done:
    """Add a recurring task of a registered class; a command is refused."""
    del written
    made = _defined(acting, acting.form.get("key", "").strip())
    tasks.add(acting.session, made)
    return Done(f"Task {made.key} is added.", task_page(made.key), {"key": made.key})


@act("/recurring/<task>/edit", "admin")
def change_task(acting: Acting, written: audit.Act) -> Done:
    """Change a recurring task that no file defines and that runs a class."""
    del written
    key = acting.names["task"]
    if tasks.get(acting.session, key).command:
        raise RefusedError(f"{key!r} calls a command: it can't be changed here")
    made = _defined(acting, key)
    tasks.change(acting.session, made)
    return Done(f"Task {key} is changed.", task_page(key), {"key": key})


@act("/recurring/<task>/remove", "admin")
def remove_task(acting: Acting, written: audit.Act) -> Done:
    """Delete a recurring task that no file defines; its history stays."""
    del written
    key = acting.names["task"]
    tasks.remove(acting.session, key)
    return Done(f"Task {key} is removed; its history stays.", "/recurring", {"key": key})


@act("/processes/<process>/restart", "admin")
def restart_process(acting: Acting, written: audit.Act) -> Done:
    """Ask a process of this machine to end: it finishes its jobs, and a successor follows."""
    del written
    row = _process_here(acting)
    _send(row, signal.SIGTERM)
    sentence = f"{row.kind} {row.pid} was asked to end; its supervisor starts a successor."
    return Done(sentence, "/processes", {"id": row.id, "pid": row.pid})


@act("/processes/<process>/quiet", "admin")
def quiet_process(acting: Acting, written: audit.Act) -> Done:
    """Make a worker of this machine claim no more jobs; it finishes its claimed ones."""
    del written
    row = _process_here(acting)
    if row.kind != "worker":
        raise RefusedError(f"{row.name} takes no jobs: only a worker can be quiet")
    _send(row, QUIET)
    acting.session.fetch(STATEMENTS["quiet"], {"id": row.id})
    sentence = (
        f"worker {row.pid} claims no more jobs; once it is restarted, its successor does."
    )
    return Done(sentence, "/processes", {"id": row.id, "pid": row.pid, "quiet": True})


def _process_here(acting: Acting) -> ProcessRow:
    """Return the process of this machine that a path names.

    Raises:
        Error: when there is no such process, or it must not get a signal from here.
    """
    given = acting.names["process"]
    wanted = whole(given) if given.isascii() and given.isdigit() else 0
    row = next((r for r in processes.processes(acting.session) if r.id == wanted), None)
    if row is None:
        raise NotFoundError(f"there is no process {given!r:.40}")
    _require_here(row)
    return row


def _send(row: ProcessRow, number: int) -> None:
    try:
        os.kill(row.pid, number)
    except OSError as error:
        raise RefusedError(f"{row.name} can't be asked: {error.strerror}") from error


def _require_here(row: ProcessRow) -> None:
    """Return if a row is of a process of this machine that is still the same process."""
    if row.kind == "supervisor":
        raise RefusedError(
            "no process would start a supervisor again; use `reload`, or restart it yourself"
        )
    known = {name: row.metadata.get(name) for name in ("boot", "namespace", "started")}
    if row.hostname != machine.hostname() or processes.identity(row.pid) != known:
        raise RefusedError(
            f"{row.name} is not a process of this machine ({machine.hostname()}):"
            " restart it on its own host, for example by `bin/jobs reload`"
        )


def _defined(acting: Acting, key: str) -> definition.TaskDefinition:
    """Return the task that a form describes.

    Raises:
        Error: with the fault of the form.
    """
    form = {name: value.strip() for name, value in acting.form.items()}
    class_name = form.get("class", "")
    if not _is_known(acting, class_name):
        raise RefusedError(f"no running worker knows a job {class_name!r:.80}")
    priority = form.get("priority")
    settings: dict[str, Any] = {
        "schedule": form.get("schedule", ""),
        "class_name": class_name,
        "args": _arguments(form.get("args") or "[]"),
        "queue": form.get("queue") or None,
        "priority": whole(priority) if priority else None,
        "tags": _tags(form.get("tags", "")),
        "description": form.get("description", ""),
        "time_zone": form.get("time_zone") or acting.settings.time_zone,
    }
    try:
        return definition.define(key, **settings)
    except ScheduleError as fault:
        raise RefusedError(f"{fault.message}; {fault.hint}") from fault
    except (Error, TypeError) as fault:
        raise RefusedError(str(fault)) from fault


def _is_known(acting: Acting, class_name: str) -> bool:
    """Return whether a job is registered: here, or in a worker that has published it."""
    if not class_name:
        return False
    known = acting.session.fetch(STATEMENTS["knows"], {"class_name": class_name})
    return registry.find(class_name) is not None or bool(known)


def _tags(text: str) -> list[str] | None:
    return [tag for line in text.split("\n") if (tag := line.strip())] or None


def _arguments(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise RefusedError(f"the arguments are not valid JSON: {fault}") from fault
