"""`reload`: the supervisor reads the configuration again, and says what became of it."""

from __future__ import annotations

import click

from jobsd.daemon.verbs import Verb, as_json

_EXAMPLES = """
reload
reload --pid 4711
reload --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option(
    "--pid", type=click.IntRange(1), help="The supervisor's, where several run in this folder."
)
@as_json
def command(pid: int | None, *, as_json: bool) -> int:
    """Let the supervisor that runs here read configuration and modules again, and wait.

    Needs no database. Exit status 0 once every process has its successor; 78 when it was
    refused, with its faults, and nothing has changed; 1 when it was not carried through; 3
    when no supervisor runs here, 6 when several do.
    """
    import os
    from pathlib import Path

    from jobsd.configuration.load import project_root
    from jobsd.daemon.asking import ask
    from jobsd.daemon.output import print_json
    from jobsd.daemon.program import note, program

    answer = ask("reload", project_root(Path.cwd(), os.environ), pid)
    if as_json:
        print_json(answer.facts())
    elif answer.message:
        note(answer.message)
        if answer.hint:
            note(f"hint: {answer.hint}; `{program()} check` tells what is at fault")
    if answer.status == 0 and not as_json:
        note(f"reloaded in {answer.duration:.1f} s")
    return answer.status
