"""The files of a new project, written where there are none."""

from __future__ import annotations

import shlex
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

from jobsd.configuration.example import example_queue_file

if TYPE_CHECKING:
    from pathlib import Path

# The job's module has a name that no package bears, so that it shadows nothing.
_FILES = {
    "bin/jobs": 0o755,
    "config/queue.yml": 0o644,
    "config/recurring.yml": 0o644,
    "sample_jobs.py": 0o644,
}


def write_project(folder: Path) -> dict[str, bool]:
    """Write the files that are not there; return for each whether it was written."""
    return {name: _write(folder / name, _text(name), mode) for name, mode in _FILES.items()}


def _text(name: str) -> str:
    if name == "config/queue.yml":
        return example_queue_file("${JOB_CONCURRENCY:-1}", ("sample_jobs",))
    template = f"{name.rpartition('/')[2]}.template"
    text = (files("jobsd.daemon.templates") / template).read_text(encoding="utf-8")
    return text.replace("@PYTHON@", shlex.quote(sys.executable))


def _write(path: Path, text: str, mode: int) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Exclusive: also a link that leads nowhere is somebody's.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    # As the umask allows, like any other new file.
    path.chmod(path.stat().st_mode | (mode & 0o111))
    return True
