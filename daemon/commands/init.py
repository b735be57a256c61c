"""`init`: make a project."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from jobsd import errors, text
from jobsd.daemon import values
from jobsd.daemon.cli import output, table, verbs
from jobsd.daemon.program import note

if TYPE_CHECKING:
    from jobsd.daemon.generate.found_project import FoundProject


@click.command(cls=verbs.Verb, examples="init\ninit ../shop")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
def command(folder: str) -> output.Result:
    """Write bin/jobs, config/queue.yml, config/recurring.yml and a sample job.

    Existing files are not changed, except that missing lines are added to .gitignore. In a
    Django, Flask or FastAPI project, or one with a package, the sample job is put beside its
    modules.
    """
    from jobsd.daemon.generate import found_project, new_project

    try:
        found = found_project.find_project(Path(folder), os.environ)
        written = new_project.write_project(Path(folder), found)
    except OSError as fault:
        raise errors.Error(
            f"can't make a project in {folder}: {fault.strerror}: {fault.filename}"
        ) from fault
    if not verbs.chosen_format().as_json:
        forgotten = (
            written[new_project.sample_file(found)] == "made" != written["config/queue.yml"]
        )
        _say(folder, found, forgotten=forgotten)
    rows = [{"what": what, "file": name} for name, what in written.items()]
    columns = (table.Column("what", show=values.plain), table.Column("file", show=values.plain))
    return output.Result(written, (output.Table(rows, columns, heading=False),))


def _say(folder: str, found: FoundProject, *, forgotten: bool) -> None:
    """Print the detected project, the steps for a person, and the next commands."""
    from jobsd.daemon.generate.new_project import imports, next_commands

    if sentence := found.sentence():
        note(f"found {sentence}")
    if forgotten:
        note(f"hint: add {', '.join(imports(found))} to `import:` in config/queue.yml")
    if found.settings and not found.runs_us:
        note('hint: add "jobsd.django" to INSTALLED_APPS')
    if found.framework == "Flask" and not found.runs_us:
        note("hint: `jobsd.flask.Jobs(app)` gives jobs the context of your application")
    where = [] if folder == "." else [f"cd {text.one_line(quote(folder))}"]
    for number, line in enumerate([*where, *next_commands(found)]):
        note(f"{'      ' if number else 'next: '}{line}")
