"""The log file: every process of a tree appends to it, and other programs rotate it.

Each process opens it by itself, so that each can open it again: after a rotation by `mv` it
writes to the old file under its new name until then. Appending is one write for a line, at the
current end of the file, so the processes need no lock.
"""

import contextlib
import os
from pathlib import Path

MODE = 0o640
"""The group may read: log collectors. Arguments and errors are kept from all other users."""

# Without waiting for a reader of a named pipe, and never as our controlling terminal.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_log(path: Path) -> int:
    """Return a descriptor that appends to the file; the file and its folder are made.

    The mode of an existing file stays.

    Raises:
        OSError: it can't be opened.
    """
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, _FLAGS)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        # Another process of the tree was faster.
        return os.open(path, _FLAGS)
    # Ignore the umask.
    os.fchmod(made, MODE)
    return made
