"""`manage.py jobs …`: all commands of jobsd, with the project's database and jobs."""

import os
import subprocess
import sys
from typing import Any, ClassVar

from jobsd.django import queue
from jobsd.django.library import base


class Command(base.BaseCommand):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """Executes the program of jobsd: its supervisor must not have imported the project."""

    help = "Run a command of jobsd: start (the default), status, list, retry, …"
    requires_system_checks: ClassVar[list[str]] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process, so that signals and exit statuses are those of jobsd."""
        os.execve(sys.executable, [*_program(), *argv[2:]], queue.environ(argv[0]))  # noqa: S606

    def add_arguments(self, parser: Any) -> None:  # noqa: ANN401 - argparse's
        """Take the command line of jobsd."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *_: object, arguments: list[str], **_options: object) -> None:
        """Run a command for `call_command`.

        Raises:
            CommandError: when it fails.
        """
        done = subprocess.run([*_program(), *arguments], env=queue.environ(), check=False)
        if done.returncode:
            raise base.CommandError(f"jobs {' '.join(arguments)}", returncode=done.returncode)


def _program() -> list[str]:
    return [sys.executable, "-m", "jobsd.daemon"]
