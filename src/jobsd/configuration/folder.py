"""The folder of a project, which contains its files."""

from collections.abc import Mapping
from pathlib import Path

QUEUE_FILE = "config/queue.yml"
RECURRING_FILE = "config/recurring.yml"


def project_root(cwd: Path, environ: Mapping[str, str]) -> Path:
    """Return the folder that contains the project's files, `storage/` and the user's modules.

    `JOBSD_HOME` is set by `bin/jobs` to the folder above it.
    """
    home = environ.get("JOBSD_HOME")
    if not home or _has_configuration(cwd):
        return cwd
    return cwd / home


def is_project(cwd: Path, environ: Mapping[str, str]) -> bool:
    """Return whether a folder is one, or we were started by a project's `bin/jobs`."""
    return bool(environ.get("JOBSD_HOME")) or _has_configuration(cwd)


def _has_configuration(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (QUEUE_FILE, RECURRING_FILE))
