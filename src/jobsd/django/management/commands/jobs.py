"""`manage.py jobs …`: all commands of jobsd, with the project's database and jobs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from jobsd.django import queue
from jobsd.django.library import base


class Command(base.BaseCommand):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """Executes the program of jobsd: its supervisor must not have imported the project."""

    help = "Run a command of jobsd: start (the default), status, list, retry, …"
    requires_system_checks: ClassVar[list[str]] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process, so that signals and exit statuses are those of jobsd."""
        environ = _environ(Path(argv[0]))
        os.execve(sys.executable, [*_program(), *argv[2:]], environ)  # noqa: S606

    def add_arguments(self, parser: Any) -> None:  # noqa: ANN401 - argparse's
        """Take the command line of jobsd."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *_: object, arguments: list[str], **_options: object) -> None:
        """Run a command for `call_command`.

        Raises:
            CommandError: when it fails.
        """
        done = subprocess.run([*_program(), *arguments], env=_environ(None), check=False)
        if done.returncode:
            raise base.CommandError(f"jobs {' '.join(arguments)}", returncode=done.returncode)


def _program() -> list[str]:
    return [sys.executable, "-m", "jobsd.daemon"]


def _environ(manage: Path | None) -> dict[str, str]:
    """Return the environment of jobsd, in which the project's modules can be imported."""
    environ = queue.environ()
    if manage is not None:
        folders = [str(manage.resolve().parent), environ.get("PYTHONPATH", "")]
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    return environ
