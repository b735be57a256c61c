"""`perform`: run a job in this process."""

import os

import click

from jobsd.daemon.calls import Call, read_call
from jobsd.daemon.program import note, wants_debug
from jobsd.daemon.project import Project
from jobsd.daemon.statuses import DONE, FAILED
from jobsd.daemon.verbs import Verb, args_json, on_project

_EXAMPLES = """
perform HeartbeatJob
perform app.mail.welcome '[42]'
perform app.reports.monthly '{"month": "2030-01"}' --debug
"""


@click.command(cls=Verb, prints=False, examples=_EXAMPLES)
@click.argument("name")
@args_json
@on_project
def command(project: Project, name: str, arguments: str) -> int:
    """Run the job NAME in this process, without the queue.

    Its output goes to stdout, its log to stderr. Exit status 1 if it raises an exception. A
    database is needed only if the job uses it.
    """
    from jobsd.instruments import logs

    os.chdir(project.root)
    logs.configure(
        None,
        project.options.logs.level,
        kind="perform",
        name=f"perform-{os.getpid()}",
        stream=2,
    )
    project.load_jobs()
    return _perform(read_call(name, arguments))


def _perform(call: Call) -> int:
    from jobsd.jobs.enqueueable import perform_here

    try:
        perform_here(call.definition, call.args, call.kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as fault:  # noqa: BLE001 - sys.exit, too, ends the job only
        _report(fault)
        return FAILED
    return DONE


def _report(fault: BaseException) -> None:
    """Print what the job has raised, and where; with --debug, the whole traceback."""
    import traceback

    if wants_debug():
        note("".join(traceback.format_exception(fault)).rstrip())
    note(f"error: {type(fault).__qualname__}: {' '.join(str(fault).split())}")
    frames = traceback.extract_tb(fault.__traceback__)
    if frames:
        last = frames[-1]
        note(f"  at {last.filename}:{last.lineno} in {last.name}")
    if not wants_debug():
        note("hint: use --debug for the full traceback")
