"""With JOBSD_IN_WEB=1, `manage.py runserver` runs the daemon beside the application."""

import atexit
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from jobsd import in_web

from . import queue

autoreload: Any = import_module("django.utils.autoreload")


def is_meant() -> bool:
    """Return whether this process is the one of `runserver` that answers requests."""
    if not in_web.is_enabled() or sys.argv[1:2] != ["runserver"]:
        return False
    # Of the two processes of a server that reloads, the second one.
    return os.environ.get("RUN_MAIN") == "true" or "--noreload" in sys.argv


def begin() -> None:
    """Start the tree for as long as the server runs; a change of the code reloads it."""
    host = in_web.host_pid()
    in_web.keep(host, queue.environ(sys.argv[0]))
    atexit.register(in_web.stop if host == os.getpid() else in_web.leave, host)

    def reload(sender: object, file_path: Path, **_facts: object) -> None:
        del sender
        if file_path.suffix in {".py", ".yml"}:
            in_web.reload(host)

    autoreload.file_changed.connect(reload, weak=False)
