"""`restore-report`: the jobs of a restored database that have ended since the backup."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from jobsd import acts, errors, operations
from jobsd.daemon.cli import job_selection
from jobsd.daemon.cli.output import Column, Result, Table, Value, colored
from jobsd.daemon.cli.verbs import Project, Verb, on_project
from jobsd.daemon.program import note
from jobsd.daemon.values import brief_moment, counted, number, plain

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.operations.restore import EndedJob

_EXAMPLES = """
restore-report log/jobsd.log log/jobsd.log.1.gz
restore-report log/jobsd.log --json
restore-report log/jobsd.log --discard --yes
"""
_COLUMNS = (
    Column("id", show=number, right=True),
    Column("class_name", "CLASS", rank=1, show=plain, cuts=True, least=20),
    Column("queue_name", "QUEUE", show=plain),
    Column("state", style=colored),
    Column("created_at", "ENQUEUED", rank=2, brief=brief_moment),
    Column("ended_at", "ENDED", rank=3, brief=brief_moment),
)


@click.command(cls=Verb, table=_COLUMNS, ids=True, examples=_EXAMPLES)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--discard", is_flag=True, help="Discard these jobs.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@on_project
def command(project: Project, files: tuple[str, ...], *, discard: bool, yes: bool) -> Result:
    """List the jobs that would run again after a restore, though they have succeeded.

    Reads each FILE of JSON lines (- for stdin, *.gz too) and compares its `job.finished` events
    with the database, by the id of the job and the time of its enqueue. Trees log these events
    with `log_jobs` only. Pause everything before (`start --paused`). --discard needs consent:
    exit 6 without --yes.
    """
    if yes and not discard:
        raise click.UsageError("--yes needs --discard", click.get_current_context())
    ended = _Ended(files)
    with project.session() as session:
        rows = list(operations.restore.again(session, ended))
        if not ended.count:
            note("no file has a `job.finished` event: trees log them with `log_jobs` only")
        if discard:
            return _discard(project, session, [row["id"] for row in rows], yes=yes)
    compared = counted(ended.count, "job")
    empty = "" if rows else f"none of the {compared} that have succeeded would run again"
    return Result(rows, (Table(rows, _COLUMNS),), empty)


class _Ended:
    """The jobs of all `job.finished` events of some files, and their number."""

    def __init__(self, files: Iterable[str]) -> None:
        self.count = 0
        self._files = [(name, _open(name)) for name in files]

    def __iter__(self) -> Iterator[EndedJob]:
        """Yield the jobs, a file after the other."""
        for name, file in self._files:
            with closing(file):
                for job in _jobs(name, file):
                    self.count += 1
                    yield job


def _jobs(name: str, file: TextIO) -> Iterator[EndedJob]:
    from jobsd.daemon.cli.log_reader import parse

    try:
        for line in parse(text.rstrip("\n") for text in file):
            if line is not None and (job := operations.restore.ended_job(_facts(line.facts))):
                yield job
    except (OSError, EOFError) as error:
        raise errors.Error(f"{name}: {error}; expected a log of JSON lines") from error


def _facts(facts: object) -> dict[str, Any]:
    return cast("dict[str, Any]", facts) if isinstance(facts, dict) else {}


def _open(name: str) -> TextIO:
    if name == "-":
        return sys.stdin
    try:
        if Path(name).suffix == ".gz":
            return gzip.open(name, "rt", encoding="utf-8", errors="replace")
        return Path(name).open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise errors.NotFoundError(f"{name}: {error.strerror}; expected a log") from error


def _discard(project: Project, session: Session, ids: list[int], *, yes: bool) -> Result:
    job_selection.consent("discard", len(ids), None, yes=yes)
    keep = project.options.jobs.preserve_finished_jobs
    gone = set[int]()
    with operations.audit.acting(session, "discard", "jobs that ended before a restore") as act:
        for done in acts.discards.batches(session, ids, keep=keep):
            gone.update(done.jobs)
            act.add(len(done.jobs))
    if moved := [each for each in ids if each not in gone]:
        note(f"skipped {job_selection.named_ids(moved)}: running, ended or locked")
    value = Value(len(gone), f"{counted(len(gone), 'job')} discarded")
    return Result({"discarded": sorted(gone), "skipped": moved}, (value,))
