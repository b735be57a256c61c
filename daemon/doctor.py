"""What `doctor` examines: one finding each, in the order in which one depends on another."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jobsd.clock import monotonic, utc_now
from jobsd.configuration.load import examine as examine_configuration
from jobsd.database.connection import OUTAGES, Session, Target, redact
from jobsd.database.migrate import latest_version, version
from jobsd.database.statements import Statements
from jobsd.errors import DatabaseUnreachableError, EmbeddedServerError, SchemaError
from jobsd.heartbeat.log import HeartbeatLogs
from jobsd.processes import registry
from jobsd.processes.nap import Nap
from jobsd.recurring import runs, tasks
from jobsd.recurring.lateness import late_tasks

from . import held_up, history
from .finding import Finding
from .liveness import life, unlike_trees
from .output import counted, length, when
from .program import program
from .unserved import some, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.configuration.load import Examined

    from .finding import Level
    from .project import Project

OLDEST_SERVER = 14
_SKEW_S = 2.0
_WAKE_UP_S = 2.0
_HEARTBEAT_S = 600.0
_FULL, _OVERFULL = 0.8, 0.95

STATEMENTS = Statements("jobsd.daemon", "doctor.sql")


def examine(project: Project) -> Iterator[Finding]:
    """Examine one thing after the other; without a database most of them are left out."""
    examined = examine_configuration(project.root, project.environ, project.flags)
    yield _configuration(project, examined)
    with contextlib.ExitStack() as stack:
        began = monotonic()
        try:
            session = stack.enter_context(project.session(any_schema=True))
        except (DatabaseUnreachableError, EmbeddedServerError, *OUTAGES) as error:
            yield Finding("FAIL", "database", " ".join(str(error).split()))
            return
        took = length(monotonic() - began)
        url = redact(session.target.url)
        yield Finding("OK", "database", f"{url} was reached in {took}")
        yield _version(session)
        yield _clock(session)
        yield _connections(session)
        yield _wake_ups(session, project)
        schema = _schema(session)
        yield schema
        if schema.level == "OK":
            yield _processes(session, project)
            yield _queues(session, project)
            yield held_up.paused(session)
            yield held_up.unknown(session)
            yield held_up.failed(session)
            yield held_up.lost(session)
            yield history.cleared(session, examined.options)
            yield _recurring(session)
            yield _heartbeat(session)


def _configuration(project: Project, examined: Examined) -> Finding:
    if count := len(examined.faults):
        told = f"{count} faults, the first: {examined.faults[0].message}; `{program()} check`"
        return Finding("FAIL", "configuration", told)
    if warnings := examined.options.warnings:
        return Finding("WARN", "configuration", "; ".join(warnings))
    return Finding("OK", "configuration", f"valid, environment {project.options.environment}")


def _version(session: Session) -> Finding:
    number = session.connection.info.server_version
    said = f"PostgreSQL {session.connection.info.parameter_status('server_version')}"
    if number < OLDEST_SERVER * 10_000:
        return Finding("FAIL", "version", f"{said}; {OLDEST_SERVER} or later is needed")
    return Finding("OK", "version", said)


def _schema(session: Session) -> Finding:
    name, needed = session.target.schema, latest_version()
    try:
        found = version(session)
    except SchemaError as error:
        return Finding("FAIL", "schema", str(error))
    if found < needed:
        told = f"schema {name!r} is at version {found} of {needed}; `{program()} db migrate`"
        return Finding("FAIL", "schema", told)
    return Finding("OK", "schema", f"schema {name!r} is at version {found}")


def _clock(session: Session) -> Finding:
    before = utc_now()
    server = session.fetch(STATEMENTS["clock"])[0][0]
    middle = before + (utc_now() - before) / 2
    skew_s = (server - middle).total_seconds()
    told = f"the server's clock is {length(abs(skew_s))} {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) <= _SKEW_S:
        return Finding("OK", "clock", told)
    return Finding("WARN", "clock", f"{told}: times shown here are off, nothing else is")


def _connections(session: Session) -> Finding:
    used, available = session.fetch(STATEMENTS["connections"])[0]
    told = f"{used} of {available} in use"
    level: Level = "OK"
    if used > available * _FULL:
        level = "FAIL" if used > available * _OVERFULL else "WARN"
    return Finding(level, "connections", told)


def _wake_ups(session: Session, project: Project) -> Finding:
    target = session.target
    if target.wakeups == "off":
        return Finding("WARN", "wake-ups", "turned off by database.wakeups: workers poll")
    direct = Target(target.listen_url or target.url, target.schema)
    deadline_s = project.options.supervisor.hang_timeout_s
    listener = Session(direct, "jobsd doctor", deadline_s=deadline_s, listen=True)
    with contextlib.closing(listener):
        try:
            _ = listener.connection
        except OUTAGES as error:
            return Finding("FAIL", "wake-ups", f"can't listen: {' '.join(str(error).split())}")
        if not listener.listening:
            told = "a transaction pooler stands between: workers poll; set database.listen_url"
            return Finding("WARN", "wake-ups", told)
        began = monotonic()
        session.fetch(STATEMENTS["notify"])
        if _hears(listener):
            return Finding(
                "OK", "wake-ups", f"a notification took {length(monotonic() - began)}"
            )
    return Finding("FAIL", "wake-ups", f"no notification came within {_WAKE_UP_S:g} s")


def _hears(listener: Session) -> bool:
    nap = Nap()
    end = monotonic() + _WAKE_UP_S
    try:
        while monotonic() < end:
            if "doctor" in listener.notifications():
                return True
            socket = listener.fileno()
            nap.take(end - monotonic(), () if socket is None else (socket,))
    finally:
        nap.close()
    return False


def _processes(session: Session, project: Project) -> Finding:
    threshold_s = project.options.supervisor.process_alive_threshold_s
    rows = registry.processes(session)
    stale = [row.name for row in rows if life(row, threshold_s) != "alive"]
    alive = len(rows) - len(stale)
    if stale:
        told = f"{len(stale)} of {len(rows)} are gone or silent: {', '.join(stale[:5])}"
        return Finding("WARN", "processes", told)
    if not any(row.kind == "supervisor" for row in rows):
        return Finding("WARN", "processes", "no supervisor runs on this database")
    if differing := unlike_trees(rows):
        return Finding("WARN", "processes", differing)
    return Finding("OK", "processes", f"{alive} live, none is stale")


def _queues(session: Session, project: Project) -> Finding:
    unserved = waiting(session, project.options.supervisor.process_alive_threshold_s)
    if unserved:
        told = f"no live worker takes from {some(unserved)}: what is there waits"
        return Finding("WARN", "queues", told)
    return Finding("OK", "queues", "none waits for a worker")


def _recurring(session: Session) -> Finding:
    """Say which tasks are late, or were in their last run, and name the cause of each."""
    rows = [task for task in tasks.load(session) if task.enabled]
    last = runs.latest(session, [task.key for task in rows])
    late = sorted(late_tasks(rows, last, utc_now()), key=lambda found: -(found[2] or 0.0))
    if not late:
        said = f"{counted(len(rows), 'task')} in time" if rows else "there are no tasks"
        return Finding("OK", "recurring", said)
    worst = ", ".join(
        f"{key} {cause}" if by_s is None else f"{key} {cause} {length(by_s)}"
        for key, cause, by_s in late[:3]
    )
    told = f"{len(late)} of {len(rows)} late: {worst}; `{program()} recurring show KEY`"
    return Finding("WARN", "recurring", told)


def _heartbeat(session: Session) -> Finding:
    logs = HeartbeatLogs(session=session)
    latest = logs.latest()
    if latest is None:
        return Finding("WARN", "heartbeat", "there was none yet")
    level: Level = "OK" if logs.verify_recent(_HEARTBEAT_S) else "WARN"
    return Finding(level, "heartbeat", f"the last was {when(latest.executed_at)}")
