"""The commands of one project, and what they print."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.project import Project


class Commands:
    """The commands of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one command."""
        return self.project.run(*arguments, **environ)

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run one command with --json; return the document that it prints."""
        done = self(*arguments, "--json")
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def rows(self, *arguments: str, status: int = 0) -> list[list[str]]:
        """Run one command; return the fields of the lines that it prints."""
        done = self(*arguments)
        assert done.returncode == status, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of a generated file in the project's folder, as a shell does."""
        return subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.project.root,
            env=self.project.environ,
            capture_output=True,
            text=True,
            check=False,
        )
