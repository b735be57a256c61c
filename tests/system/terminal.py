"""What a command shows on a terminal of some size."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import termios
from typing import TYPE_CHECKING

from harness.tree import COMMAND

if TYPE_CHECKING:
    from system.commands import Commands


def on_a_terminal(
    run: Commands, *arguments: str, width: int = 80, height: int = 24, status: int = 0
) -> list[str]:
    """Return the lines that a command shows, without their colours."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (height, width))
    environ = {k: v for k, v in run.project.environ.items() if k not in {"COLUMNS", "LINES"}}
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=run.project.root,
        env={**environ, "TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    assert done.returncode == status, done.stderr
    shown = b""
    with contextlib.suppress(OSError):
        while read := os.read(ours, 65536):
            shown += read
    os.close(ours)
    return re.sub(r"\x1b\[\d+m", "", shown.decode()).splitlines()
