"""A project under test: its folder, its commands, and the trees that are started in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from harness.tree import COMMAND, Tree

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

COMMAND_MAX_S = 110.0
"""A command ends by itself, however slow the machine is; pytest ends a test after 120 s."""


class Project:
    """A folder with a configuration and modules, and the commands run in it."""

    def __init__(self, root: Path, database_url: str, **environ: str) -> None:
        self.root = root
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("JOBSD")},
            "DATABASE_URL": database_url,
            "JOBSD_HOME": str(root),
            "JOBSD_METRICS_BIND": "off",
            "PYTHONPATH": "",
            **environ,
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.root,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=COMMAND_MAX_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def python(self, program: str, *arguments: str) -> str:
        """Run a program of the project's own to its end; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_MAX_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def start(self, *arguments: str, **environ: str) -> Generator[Tree]:
        """Start the tree; whatever is left of it at the end of the block is killed."""
        tree = Tree([*COMMAND, "start", *arguments], self.root, {**self.environ, **environ})
        try:
            yield tree
        finally:
            tree.end()
