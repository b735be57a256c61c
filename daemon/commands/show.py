"""`show`: jobs, their failed attempts, and why they are not running."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobsd import operations
from jobsd.daemon.cli.output import Facts, Result, Shown, Texts
from jobsd.daemon.cli.parameters import JOB_ID
from jobsd.daemon.cli.verbs import Project, Verb, chosen_format, on_project
from jobsd.daemon.values import moment, number, plain

if TYPE_CHECKING:
    from jobsd.acts.inspect import Attempt
    from jobsd.database.connection import Session

_EXAMPLES = """
show 4711
show 4711 4712
show 4711 --log
show 4711 --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("job_ids", metavar="ID...", type=JOB_ID, nargs=-1, required=True)
@click.option("--log", is_flag=True, help="Show its output and log (jobs.keep_log).")
@on_project
def command(project: Project, job_ids: tuple[int, ...], log: bool) -> Result:  # noqa: FBT001 - a flag
    """Show jobs: the state, failed attempts, and why a job is not running.

    With --json one job is an object, and several are a list of them.
    """
    with project.session() as session:
        shown = [_shown(project, session, job_id, log=log) for job_id in job_ids]
    documents = [document for document, _ in shown]
    parts = tuple(part for _, parts in shown for part in parts)
    return Result(documents[0] if len(documents) == 1 else documents, parts)


def _shown(
    project: Project, session: Session, job_id: int, *, log: bool
) -> tuple[dict[str, Any], tuple[Facts | Texts, ...]]:
    """Return a job as JSON has it, and as parts for people."""
    threshold_s = project.options.supervisor.process_alive_threshold_s
    seen = operations.jobs.examine(session, job_id, threshold_s)
    logs = operations.jobs.logs(session, job_id) if log else []
    facts = seen.facts(project.shown_arguments)
    discarded = seen.reason if seen.found.job.state == "discarded" else None
    ended = moment if chosen_format().terminal else _at
    kept = {"log": logs} if log else {}
    return (
        {**seen.document(facts), **kept},
        (
            Facts(tuple(facts.items()), tuple(_for_people(facts, discarded).items())),
            Texts("error", [_sentence(attempt, ended) for attempt in seen.attempts]),
            Texts("why", [reason.sentence for reason in seen.why]),
            Texts("log", [_log(each, ended) for each in logs]),
        ),
    )


def _for_people(facts: dict[str, Any], discarded: str | None) -> dict[str, Any]:
    """Return the facts in the order of their interest, without empty ones."""
    call = operations.shown_arguments.call_text(facts["class_name"], facts["arguments"])
    names = {"class_name": "class", "queue_name": "queue", "created_at": "enqueued_at"}
    rest = {
        names.get(name, name): value
        for name, value in facts.items()
        if value is not None and name not in {"id", "state", "arguments", "max_attempts"}
    }
    rest["attempts"] = Shown(f"{facts['attempts']} of {facts['max_attempts']}")
    if "concurrency_key" in rest:
        from jobsd.acts.shown_keys import shown_key

        key = shown_key(rest["concurrency_key"])
        whose = f" of {key.scope}" if key.scope else ""
        rest["concurrency_key"] = Shown(plain(f"{key.key}{whose}"))
    numbers: dict[str, Any] = {
        name: Shown(number(rest[name])) for name in ("pid", "process_id") if name in rest
    }
    return {
        "job": Shown(number(facts["id"])),
        "state": facts["state"],
        **({} if discarded is None else {"reason": plain(discarded)}),
        "call": Shown(plain(call)),
        **rest,
        **numbers,
    }


def _sentence(attempt: Attempt, ended: Callable[[datetime], str]) -> str:
    error = attempt.error
    process = f" in {attempt.process}" if attempt.process else ""
    head = f"attempt {attempt.attempt}{process}, {ended(attempt.ended_at)}"
    text = f"{head}: {error.get('type')}: {error.get('message')}"
    stack = str(error.get("stack") or "")
    return f"{text}\n{stack}" if stack else text


def _log(log: dict[str, Any], began: Callable[[datetime], str]) -> str:
    process = f" in {log['process']}" if log["process"] else ""
    head = f"attempt {log['attempt']}{process}, begun {began(log['started_at'])}:"
    return f"{head}\n{log['text']}"


def _at(value: datetime) -> str:
    return f"at {plain(value)}"
