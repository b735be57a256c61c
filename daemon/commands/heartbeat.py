"""`heartbeat`: what the heartbeat job has written."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from jobsd.daemon.output import Result, Table, Value, rows
from jobsd.daemon.project import Project
from jobsd.daemon.statuses import DONE, FAILED
from jobsd.daemon.table import Column
from jobsd.daemon.values import brief_moment
from jobsd.daemon.verbs import DURATION, Noun, Verb, on_project

if TYPE_CHECKING:
    from jobsd.heartbeat.log import HeartbeatLogs

_COLUMNS = (
    Column("executed_at", "EXECUTED"),
    Column("environment", rank=1),
    Column("hostname", "HOST"),
)
_GAP_COLUMNS = (
    Column("start", rank=1, brief=brief_moment),
    Column("end", rank=2, brief=brief_moment),
    Column("duration", right=True),
    Column("missed", right=True),
)
_NONE = "no heartbeat recorded yet"

_EXAMPLES = """
heartbeat latest
heartbeat recent -n 10 --since 1h
heartbeat verify --within 10m
heartbeat by-host web-1
heartbeat gaps --every 5m --since 24h
"""

_limit = click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 10_000),
    help="How many to list; default: 10, or with --since all of that time.",
)
_LIMIT, _LIMIT_MAX = 10, 10_000


@click.group(cls=Noun, examples=_EXAMPLES, default="latest")
def command() -> None:
    """Query the recorded heartbeats: the last ones, one host's, gaps."""


@command.command(cls=Verb, table=True, examples="heartbeat latest\nheartbeat latest --json")
@on_project
def latest(project: Project) -> Result:
    """Show the last heartbeat; exit 1 when there is none."""
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        beat = HeartbeatLogs(session=session).latest()
    if beat is None:
        return Result(None, sentence=_NONE, status=FAILED)
    return Result(asdict(beat), (Table([asdict(beat)], _COLUMNS),))


@command.command(
    cls=Verb, table=True, examples="heartbeat recent -n 10\nheartbeat recent --since 1h"
)
@_limit
@click.option("--since", "since_s", type=DURATION, help="Only those since: 30s, 1h, 2d.")
@on_project
def recent(project: Project, limit: int | None, since_s: float | None) -> Result:
    """List the last heartbeats, the latest first."""
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        beats = HeartbeatLogs(session=session)
        return _listed(beats, limit, since_s)


@command.command(cls=Verb, examples="heartbeat verify\nheartbeat verify --within 10m")
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
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        logs = HeartbeatLogs(session=session)
        is_recent, beat = logs.verify_recent(within_s), logs.latest()
    age = "no heartbeat recorded yet" if beat is None else brief_moment(beat.executed_at)
    sentence = f"the last heartbeat is {'recent' if is_recent else 'not recent'}: {age}"
    return Result(
        {"recent": is_recent},
        (Value(is_recent, sentence),),
        status=DONE if is_recent else FAILED,
    )


@command.command("by-host", cls=Verb, table=True, examples="heartbeat by-host web-1")
@click.argument("host")
@_limit
@click.option("--since", "since_s", type=DURATION, help="Only those since: 30s, 1h, 2d.")
@on_project
def by_host(project: Project, host: str, limit: int | None, since_s: float | None) -> Result:
    """List the last heartbeats of one machine, the latest first."""
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        logs = HeartbeatLogs(session=session).by_hostname(host)
        return _listed(logs, limit, since_s, f"no heartbeat of host {host!r}")


@command.command(cls=Verb, table=True, examples="heartbeat gaps --every 5m --since 24h")
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


def _listed(
    logs: HeartbeatLogs, limit: int | None, since_s: float | None, none: str = _NONE
) -> Result:
    most = limit or (_LIMIT if since_s is None else _LIMIT_MAX)
    found = [asdict(beat) for beat in logs.recent(most, since_s)]
    cut_off = limit is None and len(found) == most
    more = f"the latest {most:,}; use -n for more, or --since 1h for a time" if cut_off else ""
    return Result(found, (Table(found, _COLUMNS),), more if found else none)
