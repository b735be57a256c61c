"""`queues`: how long they are and how old; pause, resume, clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd import acts, errors, operations
from jobsd.daemon.cli.output import Result, Table, Value, done
from jobsd.daemon.cli.parameters import LINE, QUEUE
from jobsd.daemon.cli.queue_list import EMPTY, columns, for_people
from jobsd.daemon.cli.verbs import Noun, Project, Verb, on_project, require_consent
from jobsd.daemon.cli.watch import watch_option, watching
from jobsd.daemon.program import note, program
from jobsd.daemon.values import counted

if TYPE_CHECKING:
    from jobsd.acts.queues import Pausing
    from jobsd.database.connection import Session

_EXAMPLES = """
queues
queues --json
queues pause mail --reason 'the mail server is down'
queues resume mail
queues clear mail --yes
queues pause --all --reason 'the database moves'
queues resume --all
"""


@click.group(cls=Noun, examples=_EXAMPLES, default="list")
def command() -> None:
    """Show the queues; pause, resume and clear them."""


@command.command(
    "list", cls=Verb, table=columns(0), examples="queues\nqueues list --watch --json"
)
@watch_option
@on_project
def list_queues(project: Project, every_s: float | None) -> Result:
    """List the queues: ready jobs, the age of the oldest, whether it is paused.

    A queue without jobs is listed if a worker or a task names it, or a recent job was in it.
    It counts up to 100,000 jobs of each state of a queue; `metrics` counts up to a million.
    """
    return watching(project, every_s, _queues)


def _queues(session: Session) -> Result:
    rows = operations.queues.queue_rows(session)
    table = Table(for_people(rows), columns(operations.queues.COUNTED_MAX))
    return Result(rows, (table,), "" if rows else EMPTY)


_PAUSE_EXAMPLES = """
queues pause mail --reason 'the mail server is down'
queues pause --all --reason 'the database moves'
"""


@command.command(cls=Verb, examples=_PAUSE_EXAMPLES)
@click.argument("name", type=QUEUE, required=False)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Pause everything: no job is claimed or dispatched, no recurring task is enqueued.",
)
@click.option(
    "--reason", type=LINE, metavar="TEXT", help="The reason, shown by `queues` and `show`."
)
@on_project
def pause(
    project: Project, name: str | None, reason: str | None, *, everything: bool
) -> Result:
    """Make workers on all hosts stop claiming from the queue NAME; running jobs continue."""
    _require_one(name, everything=everything)
    return _pause_everything(project, reason) if name is None else _pause(project, name, reason)


def _require_one(name: str | None, *, everything: bool) -> None:
    """Refuse a name together with `--all`, and neither of them.

    Raises:
        click.UsageError: naming both.
    """
    if (name is not None) is everything:
        given = "both" if everything else "neither"
        message = f"give the name of a queue, or --all; {given} was given"
        raise click.UsageError(message, click.get_current_context())


def _pause_everything(project: Project, reason: str | None) -> Result:
    with (
        project.session() as session,
        operations.audit.acting(session, "pause", "everything"),
    ):
        is_new = acts.everything.pause(session, reason)
    facts = {"everything": True, "paused": True, "already_paused": not is_new, "reason": reason}
    return done(f"everything {'is paused' if is_new else 'was paused already'}", facts)


def _pause(project: Project, name: str, reason: str | None) -> Result:
    from jobsd.daemon.tree.unattended import is_unknown_queue

    with (
        project.session() as session,
        operations.audit.acting(session, "pause", f"queue {name}"),
    ):
        pausing = acts.queues.pausing(name, reason, session=session)
        unknown = pausing.is_new and is_unknown_queue(session, project.options, name)
    if unknown:
        _note_unknown(name)
    facts = {
        "queue_name": name,
        "paused": True,
        "already_paused": not pausing.is_new,
        "reason": pausing.reason,
    }
    return done(f"queue {name!r} {_outcome(pausing)}", facts)


def _outcome(pausing: Pausing) -> str:
    if pausing.is_new:
        return "is paused"
    if pausing.reason == pausing.reason_before:
        return "was paused already: nothing was changed"
    before = f", no longer {pausing.reason_before!r}" if pausing.reason_before else ""
    return f"was paused already; its reason is now {pausing.reason!r}{before}"


_RESUME_EXAMPLES = """
queues resume mail
queues resume --all
queues resume --all --catch-up
"""


@command.command(cls=Verb, examples=_RESUME_EXAMPLES)
@click.argument("name", type=QUEUE, required=False)
@click.option("--all", "everything", is_flag=True, help="End the pause of everything.")
@click.option(
    "--catch-up",
    is_flag=True,
    help="With --all: instants of recurring tasks that the pause covered count as missed."
    " Without it they are skipped.",
)
@on_project
def resume(project: Project, name: str | None, *, everything: bool, catch_up: bool) -> Result:
    """Let workers claim from the queue NAME again; exit 5 when it is not paused.

    A queue that is paused by its name stays paused when the pause of everything ends.
    """
    _require_one(name, everything=everything)
    if name is None:
        return _resume_everything(project, catch_up=catch_up)
    if catch_up:
        raise click.UsageError("--catch-up needs --all", click.get_current_context())
    return _resume(project, name)


def _resume_everything(project: Project, *, catch_up: bool) -> Result:
    with (
        project.session() as session,
        operations.audit.acting(session, "resume", "everything"),
    ):
        if not acts.everything.resume(session, catch_up=catch_up):
            raise errors.NotFoundError("everything is not paused")
    facts = {"everything": True, "paused": False, "catch_up": catch_up}
    return done("everything is resumed", facts)


def _resume(project: Project, name: str) -> Result:
    with (
        project.session() as session,
        operations.audit.acting(session, "resume", f"queue {name}"),
    ):
        if not acts.queues.resume(name, session=session):
            raise errors.NotFoundError(f"queue {name!r} is not paused")
    return done(f"queue {name!r} is resumed", {"queue_name": name, "paused": False})


@command.command(cls=Verb, examples="queues clear mail --yes\nqueues clear mail --dry-run")
@click.argument("name", type=QUEUE)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Change nothing; print how many jobs it has.")
@on_project
def clear(project: Project, name: str, *, yes: bool, dry_run: bool) -> Result:
    """Discard the ready jobs of the queue NAME; prints how many.

    Exit status 6 when there are any and --yes is missing.
    """
    from jobsd.daemon.tree.unattended import is_unknown_queue

    with project.session() as session:
        if dry_run:
            size = acts.queues.size(name, session=session)
            sentence = f"would discard {counted(size, 'ready job')} of queue {name!r}"
            facts = {"queue_name": name, "dry_run": True, "jobs": size}
            return Result(facts, (Value(size, sentence),))
        cleared = _clear(project, session, name, yes=yes)
        if not cleared and is_unknown_queue(session, project.options, name):
            _note_unknown(name)
    sentence = f"{counted(cleared, 'ready job')} of queue {name!r} discarded"
    return Result({"queue_name": name, "discarded": cleared}, (Value(cleared, sentence),))


def _clear(project: Project, session: Session, name: str, *, yes: bool) -> int:
    size = acts.queues.size(name, session=session)
    # Jobs enqueued from now on are not part of the consent.
    if not size and not yes:
        return 0
    require_consent(f"discard {counted(size, 'ready job')} of queue {name!r}", yes=yes)
    keep = project.options.jobs.preserve_finished_jobs
    with operations.audit.acting(session, "clear", f"queue {name}") as act:
        cleared = acts.queues.clear(name, keep=keep, session=session)
        act.add(cleared)
    return cleared


def _note_unknown(name: str) -> None:
    note(
        f"note: no worker or task names the queue {name!r}, and no recent job was in it."
        f" Check the spelling; `{program()} queues` lists the queues"
    )
