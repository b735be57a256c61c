"""`stop`, `restart` and `reload`: requests to the daemon that runs in this folder."""

import click

from jobsd.daemon.cli.output import Result
from jobsd.daemon.cli.parameters import whole
from jobsd.daemon.cli.verbs import Project, Verb
from jobsd.daemon.program import program
from jobsd.daemon.values import length

_STOP_EXAMPLES = """
stop
stop --now
stop --pid 4711
"""


@click.command(cls=Verb, examples=_STOP_EXAMPLES)
@click.option("--now", is_flag=True, help="Do not wait for running jobs: they are released.")
@click.option(
    "--pid",
    type=whole(1),
    help="The supervisor to use, if several run in this folder.",
)
def stop_command(pid: int | None, *, now: bool) -> Result:
    """Stop the supervisor of this folder with all its processes; wait until they have ended.

    Running jobs have `supervisor.shutdown_timeout` to finish, as after Ctrl-C. Needs no
    database. Exit status 3 when no supervisor runs in this folder; 6 when several do, or when
    systemd runs it.
    """
    from jobsd.daemon.tree.supervisor_request import stop

    stopped = stop(Project().root, pid, at_once=now)
    sentence = f"the supervisor, process {stopped.pid}, has stopped in {length(stopped.took_s)}"
    facts = {"pid": stopped.pid, "stopped": True, "duration": round(stopped.took_s, 3)}
    return Result(facts, sentence=sentence)


_RELOAD_EXAMPLES = """
reload
reload --pid 4711
reload --json
"""


@click.command(cls=Verb, examples=_RELOAD_EXAMPLES)
@click.option(
    "--pid",
    type=whole(1),
    help="The supervisor to use, if several run in this folder.",
)
def reload_command(pid: int | None) -> Result:
    """Make the supervisor of this folder reload configuration and modules; wait until it has.

    Needs no database. Exit status 0 once every process is replaced; 78 when the configuration
    has faults, which it prints, and nothing has changed; 1 when the reload failed half-way; 3
    when no supervisor runs in this folder, 6 when several do.
    """
    from jobsd.daemon.tree.supervisor_request import ask

    answer = ask("reload", Project().root, pid)
    lines = [answer.message] if answer.message else []
    if answer.hint:
        lines.append(f"hint: {answer.hint}; `{program()} check` lists the faults")
    if answer.status == 0:
        lines.append(f"the daemon has reloaded in {answer.duration:.1f} s")
    return Result(answer.facts(), sentence="\n".join(lines), status=answer.status)


_RESTART_EXAMPLES = """
restart
restart --pid 4711
restart --json
"""


@click.command(cls=Verb, examples=_RESTART_EXAMPLES)
@click.option(
    "--pid",
    type=whole(1),
    help="The supervisor to use, if several run in this folder.",
)
def restart_command(pid: int | None) -> Result:
    """Stop the daemon of this folder in order, and start it again; wait until it is ready.

    For a new version of jobsd or Python; `reload` takes new code and settings without a gap.
    Jobs wait meanwhile. The process id stays. Needs no database. Exit status 78 when the
    configuration has faults, and nothing has changed; 3 when no supervisor runs in this folder,
    6 when several do, or when systemd runs it.
    """
    from jobsd.daemon.tree.supervisor_request import restart

    answer = restart(Project().root, pid)
    lines = [answer.message] if answer.message else []
    if answer.status == 0:
        lines.append(f"the daemon has restarted in {answer.duration:.1f} s")
    return Result(answer.facts(), sentence="\n".join(lines), status=answer.status)
