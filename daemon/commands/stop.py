"""`stop`: end the daemon that runs in this folder."""

import os
from pathlib import Path

import click

from jobsd.daemon.output import Result
from jobsd.daemon.values import length
from jobsd.daemon.verbs import Verb

_EXAMPLES = """
stop
stop --now
stop --pid 4711
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option("--now", is_flag=True, help="Do not wait for running jobs: they are released.")
@click.option(
    "--pid",
    type=click.IntRange(1),
    help="The supervisor to use, if several run in this folder.",
)
def command(pid: int | None, *, now: bool) -> Result:
    """Stop the supervisor of this folder with all its processes; wait until they have ended.

    Running jobs have `supervisor.shutdown_timeout` to finish, as after Ctrl-C. Needs no
    database. Exit status 3 when no supervisor runs in this folder; 6 when several do, or when
    systemd runs it.
    """
    from jobsd.configuration.folder import project_root
    from jobsd.daemon.supervisor_request import stop

    stopped = stop(project_root(Path.cwd(), os.environ), pid, at_once=now)
    sentence = f"the supervisor, process {stopped.pid}, has stopped in {length(stopped.took_s)}"
    facts = {"pid": stopped.pid, "stopped": True, "duration": round(stopped.took_s, 3)}
    return Result(facts, sentence=sentence)
