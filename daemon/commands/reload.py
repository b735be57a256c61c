"""`reload`: the supervisor reads the configuration again, and reports the outcome."""

import os
from pathlib import Path

import click

from jobsd.daemon import output, verbs
from jobsd.daemon.program import program

_EXAMPLES = """
reload
reload --pid 4711
reload --json
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@click.option(
    "--pid",
    type=click.IntRange(1),
    help="The supervisor to use, if several run in this folder.",
)
def command(pid: int | None) -> output.Result:
    """Make the supervisor of this folder reload configuration and modules; wait until it has.

    Needs no database. Exit status 0 once every process is replaced; 78 when the configuration
    has faults, which it prints, and nothing has changed; 1 when the reload failed half-way; 3
    when no supervisor runs in this folder, 6 when several do.
    """
    from jobsd.configuration.folder import project_root
    from jobsd.daemon.supervisor_request import ask

    answer = ask("reload", project_root(Path.cwd(), os.environ), pid)
    lines = [answer.message] if answer.message else []
    if answer.hint:
        lines.append(f"hint: {answer.hint}; `{program()} check` lists the faults")
    if answer.status == 0:
        lines.append(f"the daemon has reloaded in {answer.duration:.1f} s")
    return output.Result(answer.facts(), sentence="\n".join(lines), status=answer.status)
