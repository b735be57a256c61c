"""`flask jobs …`: all commands of jobsd, with the application's database and jobs."""

import os
import sys

import click
from flask.cli import ScriptInfo

from . import queue


@click.command(
    "jobs",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    short_help="Run a command of jobsd: start (the default), status, list, …",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def jobs_command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Execute the program of jobsd: its supervisor must not have imported the application."""
    script = context.ensure_object(ScriptInfo)
    environ = queue.environ(script.load_app())
    if script.create_app is None:
        environ.setdefault("JOBSD_IMPORT", "jobsd.flask.setup")
        environ["FLASK_APP"] = script.app_import_path or ""
    program = [sys.executable, "-P", "-m", "jobsd.daemon", *arguments]
    os.execve(sys.executable, program, environ)  # noqa: S606
