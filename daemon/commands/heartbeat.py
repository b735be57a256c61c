"""`heartbeat` and `health`: the recorded heartbeats, and the health that they show."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.cli.output import Column, Result, Table, Value, rows
from jobsd.daemon.cli.parameters import DURATION, offered, whole
from jobsd.daemon.cli.verbs import Noun, Project, Verb, also, on_project
from jobsd.daemon.statuses import DONE, FAILED
from jobsd.daemon.values import brief_moment, json_text

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.heartbeat.log import HeartbeatLogs


_HEARTBEAT_COLUMNS = (
    Column("executed_at", "EXECUTED"),
    Column("environment", rank=1),
    Column("hostname", "HOST"),
)
_GAP_COLUMNS = (
    Column("start", brief=brief_moment),
    Column("end", rank=2, brief=brief_moment),
    Column("duration", rank=1, right=True),
    Column("missed", right=True),
)
_NONE = "no heartbeat recorded yet"

_HEARTBEAT_EXAMPLES = """
heartbeat
heartbeat recent --host web-1 --since 1h
heartbeat verify --within 10m
heartbeat gaps --every 5m --since 24h
"""

_limit = click.option(
    "-n",
    "--limit",
    type=whole(1, 10_000),
    help="How many to list; default: 10, or with --since all of that time.",
)
_since = click.option(
    "--since", "since_s", type=DURATION, help="Only heartbeats of this time: 30s, 1h, 2d."
)
_LIMIT, _LIMIT_MAX = 10, 10_000


@click.group(cls=Noun, examples=_HEARTBEAT_EXAMPLES, default="recent")
def heartbeat_command() -> None:
    """Query the recorded heartbeats: the last ones, one host's, gaps."""


@heartbeat_command.command(
    cls=Verb,
    hidden=True,
    table=_HEARTBEAT_COLUMNS,
    examples="heartbeat latest\nheartbeat latest --json",
)
@on_project
def latest(project: Project) -> Result:
    """Show the last heartbeat; exit 1 when there is none.

    `heartbeat recent -n 1` lists it, too.
    """
    with _logs_of(project) as logs:
        beat = logs.latest()
    if beat is None:
        return Result(None, sentence=_NONE, status=FAILED)
    return Result(asdict(beat), (Table([asdict(beat)], _HEARTBEAT_COLUMNS),))


@heartbeat_command.command(
    cls=Verb,
    table=_HEARTBEAT_COLUMNS,
    examples="heartbeat recent -n 10\nheartbeat recent --host web-1 --since 1h",
)
@_limit
@_since
@click.option(
    *("--host",),
    metavar="NAME",
    shell_complete=offered("host"),
    help="Only heartbeats of this machine.",
)
@on_project
def recent(
    project: Project, limit: int | None, since_s: float | None, host: str | None
) -> Result:
    """List the last heartbeats, the latest first."""
    return _listed(project, limit, since_s, host)


@heartbeat_command.command(
    cls=Verb,
    without_database=FAILED,
    examples="heartbeat verify\nheartbeat verify --within 10m",
)
@click.option(
    "--within",
    "within_s",
    type=DURATION,
    default="10m",
    show_default=True,
    help="How old the last heartbeat may be.",
)
@on_project
def verify(project: Project, within_s: float) -> Result:
    """Check whether the last heartbeat is recent: exit status 0 if it is, 1 if not."""
    with _logs_of(project) as logs:
        is_recent, beat = logs.verify_recent(within_s), logs.latest()
    age = "no heartbeat recorded yet" if beat is None else brief_moment(beat.executed_at)
    sentence = f"the last heartbeat is {'recent' if is_recent else 'not recent'}: {age}"
    return Result(
        {"recent": is_recent},
        (Value(is_recent, sentence),),
        status=DONE if is_recent else FAILED,
    )


@heartbeat_command.command(
    "by-host",
    cls=Verb,
    hidden=True,
    table=_HEARTBEAT_COLUMNS,
    examples="heartbeat by-host web-1",
)
@click.argument("host", shell_complete=offered("host"))
@_limit
@_since
@on_project
def by_host(project: Project, host: str, limit: int | None, since_s: float | None) -> Result:
    """List the last heartbeats of one machine, as `heartbeat recent --host` does."""
    return _listed(project, limit, since_s, host)


@heartbeat_command.command(
    cls=Verb, table=_GAP_COLUMNS, examples="heartbeat gaps --every 5m --since 24h"
)
@click.option(
    "--every",
    "every_s",
    type=DURATION,
    default="5m",
    show_default=True,
    help="How often a heartbeat is expected.",
)
@click.option(
    *("--since", "since_s"),
    type=DURATION,
    default="24h",
    show_default=True,
    help="How long ago the examined time begins.",
)
@on_project
def gaps(project: Project, every_s: float, since_s: float) -> Result:
    """List the times without heartbeats, oldest first; exit 1 when there are any."""
    from jobsd.heartbeat import log

    if not every_s:
        raise click.BadParameter("must be more than 0", param_hint="'--every'")
    with project.session() as session:
        found = log.gaps(session, every_s, since_s)
    listed = [
        {
            "start": gap.start,
            "end": gap.end,
            "duration": timedelta(seconds=gap.duration_s),
            "missed": gap.missed,
        }
        for gap in found
    ]
    none = "no gap between heartbeats"
    return rows(listed, _GAP_COLUMNS, empty=none, status=FAILED if found else DONE)


@contextlib.contextmanager
def _logs_of(project: Project) -> Generator[HeartbeatLogs]:
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        yield HeartbeatLogs(session=session)


def _listed(
    project: Project, limit: int | None, since_s: float | None, host: str | None
) -> Result:
    most = limit or (_LIMIT if since_s is None else _LIMIT_MAX)
    with _logs_of(project) as logs:
        wanted = logs if host is None else logs.by_hostname(host)
        found = [asdict(beat) for beat in wanted.recent(most, since_s)]
    none = _NONE if host is None else f"no heartbeat of host {host!r}"
    cut_off = limit is None and len(found) == most
    more = f"the latest {most:,}; use -n for more, or --since 1h for a time" if cut_off else ""
    return Result(found, (Table(found, _HEARTBEAT_COLUMNS),), more if found else none)


@click.command(cls=Verb, without_database=FAILED, examples="health\nhealth --within 15m")
@click.option(
    "--within",
    "within_s",
    type=DURATION,
    help="How old the last heartbeat may be; default: two periods of its task.",
)
@on_project
def health_command(project: Project, within_s: float | None) -> Result:
    """Print `{"healthy": …, "last_heartbeat": …}`; exit status 0 if healthy, 1 if not.

    The rule is that of /healthz. If there is a heartbeat task, the last heartbeat that the
    scheduler enqueued must be recent; a daemon that has just started has time for its first
    one. If there is none, a process of each kind must be alive. `judged_by` names the rule
    that was used. With --within, only the heartbeat counts.
    """
    with project.session() as session:
        status = _judged(project, session, within_s)
    # It always prints JSON.
    return Result(
        status, (Value(json_text(status)),), status=DONE if status["healthy"] else FAILED
    )


def _judged(project: Project, session: Session, given_s: float | None) -> dict[str, Any]:
    from jobsd.heartbeat.log import HeartbeatLogs, status_of
    from jobsd.operations.processes import processes
    from jobsd.supervisor.monitor.health import WITHIN_S, Expected

    examined = project.examine()
    # With faults in the tasks the promise is unknown.
    expected = Expected({}, WITHIN_S) if examined.faults else Expected.by(examined.options)
    within_s = expected.heartbeat_within_s
    beats = HeartbeatLogs(
        session=session, of_tasks=within_s is not None and not examined.faults
    )
    status = status_of(beats, given_s or within_s or WITHIN_S)
    if given_s is not None:
        return status
    threshold_s = project.options.supervisor.process_alive_threshold_s
    living = [row for row in processes(session, threshold_s) if row["life"] == "alive"]
    if within_s is None:
        up = Counter(row["kind"] for row in living)
        good = all(up[kind] for kind in expected.processes)
        return {**status, "healthy": good, "judged_by": "processes"}
    ages_s = [_age_s(row["created_at"]) for row in living if row["kind"] == "supervisor"]
    if not status["healthy"] and ages_s and max(ages_s) <= within_s:
        return {**status, "healthy": True, "judged_by": "time since the start"}
    return {**status, "judged_by": "heartbeat"}


def _age_s(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


heartbeat_command.add_command(also(health_command, "health", "heartbeat health"))
