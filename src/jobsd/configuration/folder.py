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
    if not home or any((cwd / name).is_file() for name in (QUEUE_FILE, RECURRING_FILE)):
        return cwd
    return cwd / home
