"""`recurring explain`: what a schedule means, without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.verbs import Verb, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_EXAMPLES = """
recurring explain "every hour at minute 12"
recurring explain "0 9 * * 1-5" --time-zone Europe/Madrid -n 3
recurring explain "at 5am every day" --from 2030-01-01T00:00:00Z --json
recurring explain - --json < phrases.txt
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("phrase")
@click.option("--time-zone", metavar="ZONE", help="That of queue.yml unless given.")
@click.option("-n", "--limit", type=click.IntRange(0, 10_000), default=5, show_default=True)
@click.option("--from", "after", metavar="TIME", help="ISO 8601, UTC unless it says; now.")
@as_json
def explain(
    phrase: str, time_zone: str | None, limit: int, after: str | None, *, as_json: bool
) -> int:
    """Explain a schedule: its cron, its zone, its next runs; or why it is refused: exit 1.

    With `-` as the phrase, phrases are read from stdin, one a line; with --json each gives
    one object on a line.
    """
    from jobsd.daemon.exits import DONE, FAILED
    from jobsd.daemon.output import print_json
    from jobsd.daemon.program import program
    from jobsd.instruments.redaction import redact
    from jobsd.schedules import explain as explained

    zone, start = time_zone or _default_zone(), _moment(after)
    accepted = True
    for text in map(redact, _lines() if phrase == "-" else (phrase,)):
        facts = explained(text, zone, limit, start)
        accepted = accepted and facts["accepted"]
        if not facts["accepted"] and _is_key(text):
            facts["hint"] = f"it is the key of a task: `{program()} recurring show {text}`"
        if as_json:
            print_json(facts)
        else:
            _print(text, facts, several=phrase == "-")
    return DONE if accepted else FAILED


def _lines() -> Iterator[str]:
    import sys

    for line in sys.stdin:
        yield line.rstrip("\r\n")


def _is_key(text: str) -> bool:
    """Return whether a task in the file is named so."""
    import os
    from pathlib import Path

    from jobsd.configuration.load import project_root
    from jobsd.configuration.missing_task import explain_missing_task

    return bool(explain_missing_task(project_root(Path.cwd(), os.environ), os.environ, text))


def _default_zone() -> str:
    """Return the zone of queue.yml; a faulty file is no reason not to explain a phrase."""
    import os
    from pathlib import Path

    from jobsd.configuration.flags import Flags
    from jobsd.configuration.load import load_for_commands, project_root
    from jobsd.errors import ConfigurationError

    root = project_root(Path.cwd(), os.environ)
    try:
        return load_for_commands(root, os.environ, Flags()).time_zone
    except ConfigurationError:
        return "UTC"


def _moment(text: str | None) -> datetime:
    from datetime import UTC, datetime

    from jobsd.clock import utc_now

    if text is None:
        return utc_now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no time; write 2030-01-31T15:00, with +01:00 behind it or not"
        raise click.BadParameter(told, param_hint="'--from'") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print(text: str, facts: dict[str, Any], *, several: bool) -> None:
    from jobsd.daemon.output import plain, print_line
    from jobsd.daemon.program import error

    if not facts["accepted"]:
        where = f"{plain(text)}: " if several else ""
        error(f"{where}{facts['error']}", str(facts["hint"] or ""))
        return
    crons = facts.get("crons") or [facts["cron"]]
    said = ", ".join(str(cron) for cron in crons if cron) or "an interval, which no cron says"
    print_line(f"schedule\t{plain(facts['schedule'])}")
    print_line(f"cron\t{said}")
    print_line(f"time_zone\t{facts['time_zone']}")
    for moment in facts["next"]:
        print_line(f"next\t{moment}")
    for warning in facts.get("warnings", ()):
        print_line(f"warning\t{plain(warning)}")
