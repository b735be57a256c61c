"""`recurring explain`: the meaning of a schedule, without a database."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import click

from jobsd import clock, configuration, errors
from jobsd.daemon import statuses, values
from jobsd.daemon.cli import verbs
from jobsd.daemon.cli.output import Facts, Pairs, Result, Shown
from jobsd.daemon.cli.parameters import offered, whole
from jobsd.daemon.cli.project import Project
from jobsd.daemon.program import error, program

_EXAMPLES = """
recurring explain "every hour at minute 12"
recurring explain "0 9 * * 1-5" --time-zone Europe/Madrid -n 3
recurring explain "at 5am every day" --from 2030-01-01 --json
recurring explain - --json < phrases.txt
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@click.argument("phrase")
@click.option(
    *("--time-zone",),
    metavar="ZONE",
    shell_complete=offered("zone"),
    help="Default: the zone of queue.yml.",
)
@click.option(
    "-n",
    "--limit",
    type=whole(0, 10_000),
    default=5,
    show_default=True,
    help="How many of the next runs to print.",
)
@click.option(
    "--from",
    "after",
    metavar="TIME",
    help="Print the runs after this: ISO 8601, in UTC without an offset; default: now.",
)
def explain(
    phrase: str, time_zone: str | None, limit: int, after: str | None
) -> Iterator[Result]:
    """Explain a schedule: cron, zone, next runs; exit status 1 if it is refused.

    With `-` as the phrase, phrases are read from stdin, one per line; --json then prints one
    object per line.
    """
    from jobsd.logs.redaction import redact
    from jobsd.schedules import explain as explained

    several = phrase == "-"
    zone, start = time_zone or _default_zone(), _moment(after)
    lines: Iterable[str] = (line.rstrip("\r\n") for line in sys.stdin)
    return (
        _result(text, explained(text, zone, limit, start), several=several)
        for text in map(redact, lines if several else (phrase,))
    )


def _result(text: str, facts: dict[str, Any], *, several: bool) -> Result:
    if facts["accepted"]:
        return Result(facts, (Facts(_pairs(facts, str), _pairs(facts, _for_people)),))
    if _is_key(text):
        facts["hint"] = f"this is the key of a task; use `{program()} recurring show {text}`"
    if not verbs.chosen_format().as_json:
        where = f"{values.plain(text)}: " if several else ""
        error(f"{where}{facts['error']}", str(facts["hint"] or ""))
    return Result(facts, status=statuses.FAILED)


def _pairs(facts: dict[str, Any], shown: Callable[[str], str]) -> Pairs:
    crons = facts.get("crons") or [facts["cron"]]
    cron = ", ".join(str(each) for each in crons if each)
    return [
        ("schedule", facts["schedule"]),
        ("cron", cron or "(interval; no cron equivalent)"),
        ("time_zone", facts["time_zone"]),
        *(("next", shown(each)) for each in facts["next"]),
        *(("warning", each) for each in facts.get("warnings", ())),
    ]


def _for_people(text: str) -> Shown:
    """Return a moment on the clock of the schedule's zone, and how far away it is."""
    at = datetime.fromisoformat(text)
    return Shown(f"{at:%a %Y-%m-%d %H:%M:%S %z} ({values.when(at)})")


def _is_key(text: str) -> bool:
    """Return whether the file has a task of this name."""
    return bool(
        configuration.missing_task.explain_missing_task(Project().root, os.environ, text)
    )


def _default_zone() -> str:
    """Return the zone of queue.yml; a faulty file is no reason not to explain a phrase."""
    try:
        return Project().options.time_zone
    except errors.ConfigurationError:
        return "UTC"


def _moment(text: str | None) -> datetime:
    if text is None:
        return clock.utc_now()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fault = f"{text!r} is not a time; use ISO 8601, e.g. 2030-01-31T15:00 or …+01:00"
        raise click.BadParameter(fault, param_hint="'--from'") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
