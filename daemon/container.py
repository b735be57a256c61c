"""Runs as process 1 of a container, where a signal without a handler has no effect.

The kernel keeps it back, TERM too, so a container that is stopped while the tree still
starts would wait until its engine kills it. Elsewhere the default action is right.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def handle_signals() -> None:
    """Let TERM and QUIT end the start, until the supervisor handles them itself."""
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)
