"""`queues`: how long they are and how old; pause, resume, clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import LINE, QUEUE, Noun, Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project
    from jobsd.database.connection import Session
    from jobsd.jobs.queues import Pausing

_EXAMPLES = """
queues
queues --json
queues pause mail --reason 'the mail server is down'
queues resume mail
queues clear mail --yes
"""


@click.group(cls=Noun, examples=_EXAMPLES, default="list")
def command() -> None:
    """Show the queues; pause, resume and clear them."""


@command.command("list", cls=Verb, examples="queues\nqueues list --json")
@as_json
@on_project
def list_queues(project: Project, *, as_json: bool) -> None:
    """List the queues: ready jobs, the age of the oldest, whether it is paused."""
    from jobsd.daemon.output import print_rows
    from jobsd.daemon.overview import QUEUE_COLUMNS, queue_rows

    with project.session() as session:
        rows = queue_rows(session)
    print_rows(rows, QUEUE_COLUMNS, as_json=as_json)


@command.command(cls=Verb, examples="queues pause mail --reason 'the mail server is down'")
@click.argument("name", type=QUEUE)
@click.option("--reason", type=LINE, metavar="TEXT", help="Shown to whoever asks why.")
@as_json
@on_project
def pause(project: Project, name: str, reason: str | None, *, as_json: bool) -> None:
    """Let no worker of any host claim from the queue NAME; what runs goes on."""
    from jobsd.daemon.output import tell
    from jobsd.daemon.unserved import is_unheard_of
    from jobsd.jobs import queues

    with project.session() as session:
        done = queues.pausing(name, reason, session=session)
        unheard_of = done.anew and is_unheard_of(session, project.options, name)
    facts = {"queue_name": name, "paused": True, "anew": done.anew, "reason": done.reason}
    tell(f"queue {name!r} {_told(done)}", facts, as_json=as_json)
    if unheard_of:
        _note_unheard_of(name)


def _told(done: Pausing) -> str:
    if done.anew:
        return "is paused"
    if done.reason == done.reason_before:
        return "was paused already: nothing was changed"
    before = f", no longer {done.reason_before!r}" if done.reason_before else ""
    return f"was paused already; its reason is now {done.reason!r}{before}"


@command.command(cls=Verb, examples="queues resume mail")
@click.argument("name", type=QUEUE)
@as_json
@on_project
def resume(project: Project, name: str, *, as_json: bool) -> None:
    """Let workers claim from the queue NAME again; exit 5 when it is not paused."""
    from jobsd.daemon.output import tell
    from jobsd.errors import NotFoundError
    from jobsd.jobs import queues

    with project.session() as session:
        if not queues.resume(name, session=session):
            raise NotFoundError(f"queue {name!r} is not paused")
    told = f"queue {name!r} is resumed"
    tell(told, {"queue_name": name, "paused": False}, as_json=as_json)


@command.command(cls=Verb, examples="queues clear mail --yes")
@click.argument("name", type=QUEUE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@on_project
def clear(project: Project, name: str, *, yes: bool, as_json: bool) -> None:
    """Discard the ready jobs of the queue NAME; prints how many.

    Exit status 6 without --yes when there are any.
    """
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.unserved import is_unheard_of

    with project.session() as session:
        cleared = _clear(project, session, name, yes=yes)
        unheard_of = not cleared and is_unheard_of(session, project.options, name)
    if as_json:
        print_json({"queue_name": name, "discarded": cleared})
    else:
        print_line(str(cleared))
    if unheard_of:
        _note_unheard_of(name)


def _clear(project: Project, session: Session, name: str, *, yes: bool) -> int:
    from jobsd.daemon.output import counted
    from jobsd.daemon.verbs import require_consent
    from jobsd.jobs import queues

    size = queues.size(name, session=session)
    # What is enqueued from now on was not there to be consented to.
    if not size and not yes:
        return 0
    require_consent(f"discard {counted(size, 'ready job')} of queue {name!r}", yes=yes)
    keep = project.options.jobs.preserve_finished_jobs
    return queues.clear(name, keep=keep, session=session)


def _note_unheard_of(name: str) -> None:
    from jobsd.daemon.program import note, program

    note(
        f"note: no worker or task names {name!r}, and none of the latest jobs was in it:"
        f" is it spelt as meant? `{program()} queues` lists the queues"
    )
