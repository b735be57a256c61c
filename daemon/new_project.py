"""The files of a new project, written where there are none."""

from __future__ import annotations

import shlex
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The job's module has a name that no package bears, so that it shadows nothing.
_FILES = {
    "bin/jobs": ("jobs.template", 0o755),
    "config/queue.yml": ("queue.yml.template", 0o644),
    "config/recurring.yml": ("recurring.yml.template", 0o644),
    "sample_jobs.py": ("sample_jobs.py.template", 0o644),
}


def write_project(folder: Path) -> dict[str, bool]:
    """Write the files that are not there; return for each whether it was written."""
    return {
        name: _write(folder / name, template, mode) for name, (template, mode) in _FILES.items()
    }


def _write(path: Path, template: str, mode: int) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (files("jobsd.daemon.templates") / template).read_text(encoding="utf-8")
    try:
        # Exclusive: also a link that leads nowhere is somebody's.
        with path.open("x", encoding="utf-8") as file:
            file.write(text.replace("@PYTHON@", shlex.quote(sys.executable)))
    except FileExistsError:
        return False
    # As the umask allows, like any other new file.
    path.chmod(path.stat().st_mode | (mode & 0o111))
    return True
