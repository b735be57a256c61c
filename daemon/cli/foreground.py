"""Runs a job or a task in this process: its output goes to stdout, its log to stderr."""

import os
from collections.abc import Callable

import click

from jobsd.daemon import statuses
from jobsd.daemon.program import note, wants_debug

from . import calls
from .project import Project

quiet_option = click.option(
    "--quiet", is_flag=True, help="Log only warnings and errors; prints stay."
)


def calling(name: str, arguments: str) -> Callable[[], object]:
    """Return a call that performs the job in this process; raises as `read_call` does."""
    from jobsd.jobs.enqueueable import perform_here

    call = calls.read_call(name, arguments)
    return lambda: perform_here(call.definition, call.args, call.kwargs)


def of_task(project: Project, key: str) -> Callable[[], object]:
    """Return a call that runs a task of file or code, even if no daemon has loaded it."""
    from functools import partial

    from jobsd import errors, recurring

    options = project.read_with_code()
    task = next((task for task in options.tasks if task.key == key), None)
    if task is None or task.is_switch:
        raise errors.NotFoundError(
            f"{options.recurring_file} has no task {key!r}, and no job has its schedule"
        )
    if task.command is None:
        return calling(task.class_name or "", task.arguments_json)
    command = recurring.command.parse_command(task.command)
    return partial(
        recurring.command_job.find_function(command.target), *command.args, **command.kwargs
    )


def run_here(
    project: Project, read: Callable[[], Callable[[], object]], *, quiet: bool = False
) -> int:
    """Call the result of `read` once the jobs are loaded; return the exit status.

    That is 1 if the call raises an exception, which is reported. With `quiet` the log has only
    warnings and errors; output of the job to stdout stays.
    """
    from jobsd.logs import logs
    from jobsd.logs.layouts import LEVELS

    level = project.options.logs.level
    if quiet:
        level = max(level, "warning", key=LEVELS.__getitem__)

    os.chdir(project.root)
    logs.configure(
        None,
        level,
        kind="perform",
        name=f"perform-{os.getpid()}",
        stream=2,
    )
    project.load_jobs()
    work = read()
    try:
        work()
    except KeyboardInterrupt:
        raise
    except BaseException as fault:  # noqa: BLE001 - sys.exit, too, ends the job only
        _report(fault)
        return statuses.FAILED
    return statuses.DONE


def _report(fault: BaseException) -> None:
    """Print an exception, and the line that raised it; with --debug, the whole traceback."""
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
