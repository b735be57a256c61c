"""`init`: make a project."""

from __future__ import annotations

import click

from jobsd.daemon.verbs import Verb, as_json


@click.command(cls=Verb, examples="init\ninit ../shop")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@as_json
def command(folder: str, *, as_json: bool) -> None:
    """Write bin/jobs, config/queue.yml, config/recurring.yml and a sample job.

    What is there already stays as it is.
    """
    from pathlib import Path

    from jobsd.daemon.new_project import write_project
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.program import note

    written = write_project(Path(folder))
    if as_json:
        print_json({name: "made" if made else "kept" for name, made in written.items()})
        return
    for name, made in written.items():
        print_line(f"{'made' if made else 'kept'}\t{name}")
    if written["sample_jobs.py"] and not written["config/queue.yml"]:
        note("hint: add sample_jobs to `import:` in config/queue.yml")
    where = "" if folder == "." else f"cd {folder} && "
    note(f"next: {where}bin/jobs")
