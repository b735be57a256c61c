"""`init`: make a project."""

from __future__ import annotations

from pathlib import Path

import click

from jobsd.daemon.output import Result, Table
from jobsd.daemon.program import note
from jobsd.daemon.table import Column
from jobsd.daemon.values import plain
from jobsd.daemon.verbs import Verb, chosen_format
from jobsd.errors import Error


@click.command(cls=Verb, examples="init\ninit ../shop")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
def command(folder: str) -> Result:
    """Write bin/jobs, config/queue.yml, config/recurring.yml and a sample job.

    What is there already stays as it is.
    """
    from jobsd.daemon.new_project import write_project

    try:
        written = write_project(Path(folder))
    except OSError as fault:
        raise Error(
            f"can't make a project in {folder}: {fault.strerror}: {fault.filename}"
        ) from fault
    if not chosen_format().as_json:
        if written["sample_jobs.py"] and not written["config/queue.yml"]:
            note("hint: add sample_jobs to `import:` in config/queue.yml")
        where = "" if folder == "." else f"cd {folder} && "
        note(f"next: {where}bin/jobs")
    rows = [
        {"what": "made" if made else "kept", "file": name} for name, made in written.items()
    ]
    columns = (Column("what", show=plain), Column("file", show=plain))
    facts = {row["file"]: row["what"] for row in rows}
    return Result(facts, (Table(rows, columns, heading=False),))
