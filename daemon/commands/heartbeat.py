"""`heartbeat`: what the heartbeat job has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.verbs import DURATION, Noun, Verb, as_json, on_project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.daemon.project import Project
    from jobsd.heartbeat.log import HeartbeatLog

_COLUMNS = ("executed_at", "environment", "hostname")
_GAP_COLUMNS = ("start", "end", "duration", "missed")

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
    default=10,
    show_default=True,
    help="How many.",
)


@click.group(cls=Noun, examples=_EXAMPLES, default="latest")
def command() -> None:
    """Ask the log of heartbeats: when did one come last, where were gaps."""


@command.command(cls=Verb, examples="heartbeat latest\nheartbeat latest --json")
@as_json
@on_project
def latest(project: Project, *, as_json: bool) -> int:
    """Show the last heartbeat; exit 1 when there was none yet."""
    from jobsd.daemon.exits import DONE, FAILED
    from jobsd.daemon.output import print_json, print_rows
    from jobsd.daemon.program import note
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        beat = HeartbeatLogs(session=session).latest()
    if beat is not None and as_json:
        print_json(_row(beat))
    elif beat is not None:
        print_rows([_row(beat)], _COLUMNS, as_json=False)
    elif as_json:
        print_json(None)
    else:
        note("there was no heartbeat yet")
    return FAILED if beat is None else DONE


@command.command(cls=Verb, examples="heartbeat recent -n 10\nheartbeat recent --since 1h")
@_limit
@click.option("--since", "since_s", type=DURATION, help="Only those since: 30s, 1h, 2d.")
@as_json
@on_project
def recent(project: Project, limit: int, since_s: float | None, *, as_json: bool) -> None:
    """List the last heartbeats, the latest first."""
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        _print(HeartbeatLogs(session=session).recent(limit, since_s), as_json=as_json)


@command.command(cls=Verb, examples="heartbeat verify\nheartbeat verify --within 10m")
@click.option("--within", "within_s", type=DURATION, default="10m", show_default=True)
@as_json
@on_project
def verify(project: Project, within_s: float, *, as_json: bool) -> int:
    """Tell whether the last heartbeat is recent: exit 0 when it is, 1 when not."""
    from jobsd.daemon.exits import DONE, FAILED
    from jobsd.daemon.output import print_json, print_line
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        recent = HeartbeatLogs(session=session).verify_recent(within_s)
    if as_json:
        print_json({"recent": recent})
    else:
        print_line("true" if recent else "false")
    return DONE if recent else FAILED


@command.command("by-host", cls=Verb, examples="heartbeat by-host web-1")
@click.argument("host")
@_limit
@as_json
@on_project
def by_host(project: Project, host: str, limit: int, *, as_json: bool) -> None:
    """List the last heartbeats of one machine, the latest first."""
    from jobsd.heartbeat.log import HeartbeatLogs

    with project.session() as session:
        logs = HeartbeatLogs(session=session).by_hostname(host).recent(limit)
        _print(logs, as_json=as_json)


@command.command(cls=Verb, examples="heartbeat gaps --every 5m --since 24h")
@click.option("--every", "every_s", type=DURATION, default="5m", show_default=True)
@click.option("--since", "since_s", type=DURATION, default="24h", show_default=True)
@as_json
@on_project
def gaps(project: Project, every_s: float, since_s: float, *, as_json: bool) -> int:
    """List the times without heartbeats, oldest first; exit 1 when there are any."""
    from datetime import timedelta

    from jobsd.daemon.exits import DONE, FAILED
    from jobsd.daemon.output import print_rows
    from jobsd.heartbeat import log

    if not every_s:
        raise click.BadParameter("heartbeats need a time between them", param_hint="'--every'")
    with project.session() as session:
        found = log.gaps(session, every_s, since_s)
    rows = [
        {
            "start": gap.start,
            "end": gap.end,
            "duration": timedelta(seconds=gap.duration_s),
            "missed": gap.missed,
        }
        for gap in found
    ]
    print_rows(rows, _GAP_COLUMNS, as_json=as_json)
    return FAILED if found else DONE


def _print(logs: Iterable[HeartbeatLog], *, as_json: bool) -> None:
    from jobsd.daemon.output import print_rows

    print_rows([_row(beat) for beat in logs], _COLUMNS, as_json=as_json)


def _row(beat: HeartbeatLog) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(beat)
