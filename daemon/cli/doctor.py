"""The examinations of `doctor`: one finding each, those first on which others depend."""

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from jobsd import clock, errors
from jobsd.configuration.load import Examined
from jobsd.configuration.load import examine as examine_configuration
from jobsd.configuration.options import Options
from jobsd.daemon.program import program
from jobsd.daemon.statuses import CONFIGURATION, FAILED
from jobsd.daemon.tree.unattended import CLEARING_COMMAND, clearing_tasks, some, waiting
from jobsd.daemon.values import counted, length, when
from jobsd.database import connection, session_settings
from jobsd.database.connection import OUTAGES, Session, Statements, Target
from jobsd.database.migrate import refuse_foreign, version
from jobsd.database.other_build import OtherBuildError
from jobsd.database.statements import quote_identifier
from jobsd.database.steps import latest_version, oldest_supported
from jobsd.heartbeat.log import HeartbeatLogs
from jobsd.operations import health
from jobsd.operations.processes import has_alive, life, processes, unlike_programs, unlike_trees
from jobsd.operations.queues import queue_rows
from jobsd.processes import registry
from jobsd.processes.nap import Nap
from jobsd.recurring import runs, tasks
from jobsd.recurring.lateness import SCHEDULER, late_tasks
from jobsd.states import parked

from .project import Project

Level = Literal["OK", "WARN", "FAIL"]

OLDEST_SERVER = 14
_SKEW_S = 2.0
_WAKE_UP_S = 2.0
_HEARTBEAT_S = 600.0
_FULL, _OVERFULL = 0.8, 0.95

COUNTED_MAX = 100_000
"""A greater number does not change the finding, and a count must cost little."""
_NAMED_MAX = 3

STATEMENTS = Statements("jobsd.daemon.cli", "doctor.sql")


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one examination."""

    level: Level
    subject: str
    message: str
    status: int = FAILED
    """The exit status of `doctor` when this fails."""

    def facts(self) -> dict[str, Any]:
        """Return it for a program."""
        return {"level": self.level, "subject": self.subject, "message": self.message}


def examine(project: Project) -> Iterator[Finding]:
    """Examine one subject after the other; without a database most of them are left out."""
    examined = examine_configuration(project.root, project.environ, project.flags)
    yield _configuration(project, examined)
    with contextlib.ExitStack() as stack:
        began = clock.monotonic()
        try:
            session = stack.enter_context(project.session(any_schema=True))
        except (errors.DatabaseUnreachableError, errors.EmbeddedServerError, *OUTAGES) as error:
            yield Finding("FAIL", "database", " ".join(str(error).split()))
            return
        took = length(clock.monotonic() - began)
        yield _reached(session.target.url, took)
        yield _version(session)
        yield _clock(session)
        yield _connections(session)
        yield settings(session)
        yield _wake_ups(session, project)
        schema = _schema(session)
        yield schema
        if schema.level != "FAIL":
            yield _processes(session, project)
            yield _queues(session, project)
            yield _paused(session)
            yield _unknown(session)
            yield failed_jobs(session)
            yield _history(session, examined.options)
            yield _recurring(session, project)
            yield _heartbeat(session)
            yield from _health(session, project)


def _configuration(project: Project, examined: Examined) -> Finding:
    if count := len(examined.faults):
        first = examined.faults[0].message
        message = f"{counted(count, 'fault')}, the first: {first}; `{program()} check`"
        return Finding("FAIL", "configuration", message)
    if warnings := examined.options.warnings:
        return Finding("WARN", "configuration", "; ".join(warnings))
    return Finding("OK", "configuration", f"valid, environment {project.options.environment}")


def _reached(url: str, took: str) -> Finding:
    message = f"{connection.redact(url)} was reached in {took}"
    if connection.any_server_will_do(url):
        advice = "add target_session_attrs=read-write, or jobsd may connect to a standby"
        return Finding("WARN", "database", f"{message}; it names several hosts: {advice}")
    return Finding("OK", "database", message)


def _version(session: Session) -> Finding:
    number = session.connection.info.server_version
    said = f"PostgreSQL {session.connection.info.parameter_status('server_version')}"
    if number < OLDEST_SERVER * 10_000:
        return Finding("FAIL", "version", f"{said}; {OLDEST_SERVER} or later is needed")
    if session.fetch(STATEMENTS["is_standby"])[0][0]:
        advice = "this is a standby, which refuses all changes; connect to its primary"
        return Finding("FAIL", "version", f"{said}; {advice}")
    return Finding("OK", "version", said)


def _schema(session: Session) -> Finding:
    name, needed = session.target.schema, latest_version()
    try:
        found = version(session)
        refuse_foreign(session, found)
    except OtherBuildError as error:
        return Finding("FAIL", "schema", str(error), CONFIGURATION)
    except errors.SchemaError as error:
        return Finding("FAIL", "schema", str(error))
    if found < needed:
        message = f"schema {name!r} is at version {found} of {needed}; `{program()} db migrate`"
        level: Level = "FAIL" if found < oldest_supported() else "WARN"
        return Finding(level, "schema", message)
    return Finding("OK", "schema", f"schema {name!r} is at version {found}")


def _clock(session: Session) -> Finding:
    before = clock.utc_now()
    server = session.fetch(STATEMENTS["clock"])[0][0]
    middle = before + (clock.utc_now() - before) / 2
    skew_s = (server - middle).total_seconds()
    message = (
        f"the server's clock is {length(abs(skew_s))} {'ahead' if skew_s > 0 else 'behind'}"
    )
    if abs(skew_s) <= _SKEW_S:
        return Finding("OK", "clock", message)
    return Finding(
        "WARN", "clock", f"{message}; only the times that commands show here are wrong"
    )


def _connections(session: Session) -> Finding:
    used, available = session.fetch(STATEMENTS["connections"])[0]
    message = f"{used} of {available} in use"
    level: Level = "OK"
    if used > available * _FULL:
        level = "FAIL" if used > available * _OVERFULL else "WARN"
    return Finding(level, "connections", message)


def settings(session: Session) -> Finding:
    """Report settings of the server that stay in force although ours differ.

    A session makes its own settings. Behind a pooler its statements carry the settings that
    they can.
    """
    names = list(session_settings.NEEDED)
    found = dict(session.fetch(STATEMENTS["settings"], {"names": names}))
    missing = session_settings.missing(found)
    if not missing:
        return Finding("OK", "settings", "statements have the settings that they need")
    role = quote_identifier(session.connection.info.user)
    message = [
        f"{name} is {found[name]!r} for each statement: `ALTER ROLE {role} SET {name} = '{to}'`"
        for name, to in missing.items()
    ]
    return Finding("FAIL", "settings", "; ".join(message))


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
            message = (
                "behind a transaction pooler there is no NOTIFY, so workers only poll;"
                " set database.listen_url"
            )
            return Finding("WARN", "wake-ups", message)
        began = clock.monotonic()
        session.fetch(STATEMENTS["notify"])
        if _hears(listener):
            return Finding(
                "OK", "wake-ups", f"a notification took {length(clock.monotonic() - began)}"
            )
    return Finding("FAIL", "wake-ups", f"no notification came within {_WAKE_UP_S:g} s")


def _hears(listener: Session) -> bool:
    nap = Nap()
    end = clock.monotonic() + _WAKE_UP_S
    try:
        while clock.monotonic() < end:
            if "doctor" in listener.notifications():
                return True
            socket = listener.fileno()
            nap.take(end - clock.monotonic(), () if socket is None else (socket,))
    finally:
        nap.close()
    return False


def _processes(session: Session, project: Project) -> Finding:
    threshold_s = project.options.supervisor.process_alive_threshold_s
    rows = registry.processes(session)
    stale = [row.name for row in rows if life(row, threshold_s) != "alive"]
    alive = len(rows) - len(stale)
    if stale:
        message = f"{len(stale)} of {len(rows)} write no heartbeats: {', '.join(stale[:5])}"
        return Finding("WARN", "processes", message)
    if not any(row.kind == "supervisor" for row in rows):
        return Finding("WARN", "processes", "no supervisor runs on this database")
    if differing := unlike_trees(rows) or unlike_programs(rows):
        return Finding("WARN", "processes", differing)
    return Finding("OK", "processes", f"{alive} alive, none without heartbeats")


def _queues(session: Session, project: Project) -> Finding:
    threshold_s = project.options.supervisor.process_alive_threshold_s
    if unserved := waiting(session, threshold_s):
        message = f"no running worker takes jobs from {some(unserved)}: their jobs will wait"
        return Finding("WARN", "queues", message)
    if not has_alive(session, threshold_s, "worker"):
        return Finding("WARN", "queues", "no worker is running; no job waits for one yet")
    return Finding("OK", "queues", "no job waits in a queue without a worker")


def _recurring(session: Session, project: Project) -> Finding:
    """Report tasks that are late, or were in their last run, and the cause of each."""
    rows = [task for task in tasks.load(session) if task.enabled]
    last = runs.latest(session, [task.key for task in rows])
    late = sorted(late_tasks(rows, last, clock.utc_now()), key=lambda found: -(found[2] or 0.0))
    threshold_s = project.options.supervisor.process_alive_threshold_s
    schedules = has_alive(session, threshold_s, "scheduler")
    if not late:
        return _on_time(len(rows), schedules=schedules)
    worst = ", ".join(
        f"{key} ({cause})" if by_s is None else f"{key} by {length(by_s)} ({cause})"
        for key, cause, by_s in late[:3]
    )
    are = "is" if len(late) == 1 else "are"
    if any(cause == SCHEDULER for _, cause, _ in late):
        worst += "" if schedules else "; no scheduler is running"
    message = (
        f"{len(late)} of {counted(len(rows), 'task')} {are} late: {worst};"
        f" see `{program()} recurring show KEY`"
    )
    return Finding("WARN", "recurring", message)


def _on_time(tasks_count: int, *, schedules: bool) -> Finding:
    if not tasks_count:
        return Finding("OK", "recurring", "there are no enabled tasks")
    named = counted(tasks_count, "task")
    if schedules:
        return Finding("OK", "recurring", f"{named} on time")
    return Finding("WARN", "recurring", f"no scheduler is running, so {named} will be late")


def _heartbeat(session: Session) -> Finding:
    logs = HeartbeatLogs(session=session)
    latest = logs.latest()
    if latest is None:
        return Finding("WARN", "heartbeat", "no heartbeat recorded yet")
    level: Level = "OK" if logs.verify_recent(_HEARTBEAT_S) else "WARN"
    return Finding(level, "heartbeat", f"the last was {when(latest.executed_at)}")


def _health(session: Session, project: Project) -> Iterator[Finding]:
    """Report the health that `status` and the pages report."""
    options = project.options
    rows = processes(session, options.supervisor.process_alive_threshold_s)
    queues = queue_rows(session, COUNTED_MAX)
    found = health.judge(session, rows, queues, options.monitor.latency_targets_s)
    if not found:
        yield Finding("OK", "health", "no evidence of a fault")
    for each in found:
        yield Finding("WARN", "health", each.sentence)


def _paused(session: Session) -> Finding:
    """Report paused queues with waiting jobs: since when, why, and how to resume them."""
    rows = session.fetch(STATEMENTS["paused"], {"most": COUNTED_MAX})
    if not rows:
        return Finding("OK", "pauses", "no job waits in a paused queue")
    message = [_pause(*row) for row in rows[:_NAMED_MAX]]
    more = len(rows) - len(message)
    message += [f"and {counted(more, 'more queue')}; `{program()} queues`"] if more else []
    return Finding("WARN", "pauses", "; ".join(message))


def failed_jobs(session: Session) -> Finding:
    """Report the number of failed jobs, and how to list them."""
    ((count,),) = session.fetch(STATEMENTS["failed"], {"most": COUNTED_MAX})
    if not count:
        return Finding("OK", "failures", "there are no failed jobs")
    message = f"{_number(count, 'failed job')}; `{program()} failures` groups them"
    return Finding("WARN", "failures", message)


def _unknown(session: Session) -> Finding:
    """Report classes of waiting jobs that no worker knows, and since when they wait."""
    rows = parked.unknown(session)
    if not rows:
        return Finding("OK", "classes", "no job waits for a worker that knows its class")
    message = [
        f"{_number(row.jobs, 'ready job')} of {row.lane!r} in queue {row.queue_name!r}, which"
        f" no worker has known for {length(row.for_s)}"
        for row in rows[:_NAMED_MAX]
    ]
    more = len(rows) - len(message)
    message += [f"and {counted(more, 'more class', 'more classes')}"] if more else []
    return Finding("WARN", "classes", "; ".join(message))


def _pause(name: str, reason: str | None, by: str | None, since: datetime, count: int) -> str:
    said = f": {reason}" if reason else ""
    resume = f"`{program()} queues resume {shlex.quote(name)}`"
    return (
        f"{_number(count, 'ready job')} in queue {name!r}, paused {when(since)}"
        f" by {by or 'an unknown user'}{said}; {resume}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} or more {noun}s" if count >= COUNTED_MAX else counted(count, noun)


def _history(session: Session, options: Options) -> Finding:
    """Report the tasks, of the file or of the table, that clear finished jobs."""
    if not options.jobs.preserve_finished_jobs:
        return Finding("OK", "history", "finished jobs are not kept")
    if keys := clearing_tasks([*options.tasks, *tasks.load(session)]):
        return Finding("OK", "history", f"finished jobs are cleared by {some(keys)}")
    fault = (
        "finished jobs are never deleted: no enabled task clears them. Run"
        f" `{program()} clear-finished`, or add a task with {CLEARING_COMMAND}"
    )
    return Finding("WARN", "history", fault)
