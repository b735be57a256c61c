"""`show`: one job, what went wrong with it, and why it is not running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.call_text import call_text
from jobsd.daemon.output import Facts, Result, Shown, Texts
from jobsd.daemon.shown_arguments import ShownArguments
from jobsd.daemon.values import moment, number, plain
from jobsd.daemon.verbs import JOB_ID, Verb, chosen_format, on_project
from jobsd.daemon.why import why
from jobsd.jobs import inspect

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobsd.daemon.project import Project
    from jobsd.jobs.inspect import Attempt, Found

_EXAMPLES = """
show 4711
show 4711 --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("job_id", metavar="ID", type=JOB_ID)
@on_project
def command(project: Project, job_id: int) -> Result:
    """Show a job: where it is, its failed attempts, and why it is not running."""
    with project.session() as session:
        found = inspect.find(session, job_id)
        attempts = inspect.attempts(session, job_id)
        reasons = why(session, found, project.options.supervisor.process_alive_threshold_s)
    facts = _facts(found, ShownArguments(project))
    errors = [_error(attempt) for attempt in attempts]
    ended = moment if chosen_format().terminal else _at
    return Result(
        {**facts, "errors": errors, "why": [reason.facts() for reason in reasons]},
        (
            Facts(tuple(facts.items()), tuple(_for_people(facts).items())),
            Texts("error", [_sentence(attempt, ended) for attempt in attempts]),
            Texts("why", [reason.sentence for reason in reasons]),
        ),
    )


def _facts(found: Found, shown: ShownArguments) -> dict[str, Any]:
    job = found.job
    return {
        "id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "priority": job.priority,
        "state": job.state,
        "arguments": shown.of(job.class_name, job.arguments),
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "created_at": job.created_at,
        "scheduled_at": job.scheduled_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        **_more(found),
    }


def _more(found: Found) -> dict[str, Any]:
    """Return what only some jobs have: a limit, and who has claimed it since when."""
    more: dict[str, Any] = {}
    if found.concurrency_key is not None:
        more |= {
            "concurrency_key": found.concurrency_key,
            "concurrency_limit": found.concurrency_limit,
        }
    if found.job.state == "claimed":
        names = ("claimed_at", "process_id", "process", "pid", "hostname")
        more |= {name: getattr(found.job, name) for name in names}
    return more


def _for_people(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts in the order in which somebody asks for them, without empty ones."""
    call = call_text(facts["class_name"], facts["arguments"])
    names = {"class_name": "class", "queue_name": "queue", "created_at": "enqueued_at"}
    rest = {
        names.get(name, name): value
        for name, value in facts.items()
        if value is not None and name not in {"id", "state", "arguments", "max_attempts"}
    }
    rest["attempts"] = Shown(f"{facts['attempts']} of {facts['max_attempts']}")
    numbers: dict[str, Any] = {
        name: Shown(number(rest[name])) for name in ("pid", "process_id") if name in rest
    }
    return {
        "job": Shown(number(facts["id"])),
        "state": facts["state"],
        "call": Shown(plain(call)),
        **rest,
        **numbers,
    }


def _error(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "process": attempt.process,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        **attempt.error,
    }


def _sentence(attempt: Attempt, ended: Callable[[datetime], str]) -> str:
    error = attempt.error
    process = f" in {attempt.process}" if attempt.process else ""
    head = f"attempt {attempt.attempt}{process}, {ended(attempt.ended_at)}"
    text = f"{head}: {error.get('type')}: {error.get('message')}"
    stack = str(error.get("stack") or "")
    return f"{text}\n{stack}" if stack else text


def _at(value: datetime) -> str:
    return f"at {plain(value)}"
