"""`show`: one job, what went wrong with it, and why it is not running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobsd.daemon.verbs import JOB_ID, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project
    from jobsd.daemon.shown_arguments import ShownArguments
    from jobsd.jobs.inspect import Attempt, Found

_EXAMPLES = """
show 4711
show 4711 --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.argument("job_id", metavar="ID", type=JOB_ID)
@as_json
@on_project
def command(project: Project, job_id: int, *, as_json: bool) -> None:
    """Show a job: where it is, its failed attempts, and why it is not running."""
    from jobsd.daemon.output import print_facts, print_json
    from jobsd.daemon.shown_arguments import ShownArguments
    from jobsd.daemon.why import why
    from jobsd.jobs import inspect

    with project.session() as session:
        found = inspect.find(session, job_id)
        attempts = inspect.attempts(session, job_id)
        reasons = why(session, found, project.options.supervisor.process_alive_threshold_s)
    facts = _facts(found, ShownArguments(project))
    if as_json:
        errors = [_error(attempt) for attempt in attempts]
        print_json({**facts, "errors": errors, "why": [reason.facts() for reason in reasons]})
        return
    print_facts(facts, as_json=False)
    _print_lines("error", [_told(attempt) for attempt in attempts])
    _print_lines("why", [reason.sentence for reason in reasons])


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


def _error(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "process": attempt.process,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        **attempt.error,
    }


def _told(attempt: Attempt) -> str:
    from jobsd.daemon.output import is_terminal, plain, when

    error = attempt.error
    ended = when(attempt.ended_at) if is_terminal() else f"at {plain(attempt.ended_at)}"
    process = f" in {attempt.process}" if attempt.process else ""
    head = f"attempt {attempt.attempt}{process}, {ended}"
    told = f"{head}: {error.get('type')}: {error.get('message')}"
    stack = str(error.get("stack") or "")
    return f"{told}\n{stack}" if stack else told


def _print_lines(name: str, texts: list[str]) -> None:
    """Print texts, each line of them for itself: nothing in them may command a terminal."""
    from jobsd.daemon.output import is_terminal, plain, print_line

    for text in texts:
        if is_terminal():
            first, *rest = text.rstrip().split("\n")
            print_line(f"\n{name}: {plain(first)}")
            for line in rest:
                print_line(f"  {plain(line)}")
        else:
            print_line(f"{name}\t{plain(text.rstrip())}")
