"""A line that is told whatever the author's modules have made of `logging`.

Their configuration may disable loggers and take handlers away; the heartbeat must be seen
nevertheless. It is written by the log itself, and passed on to `logging` for handlers of the
author's (files, services), while what these print of it is not written a second time.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Speaker = Callable[[str, str], None]

_speakers: list[Speaker] = []
_here = threading.local()


def speak_through(speaker: Speaker) -> None:
    """Let `speaker(logger, text)` write what is said aloud in this process."""
    _speakers[:] = [speaker]


def be_silent() -> None:
    """Leave it to `logging` again."""
    _speakers.clear()


def say_aloud(logger: str, text: str) -> None:
    """Tell a text at level info."""
    for speaker in _speakers:
        speaker(logger, text)
    _here.was_said = bool(_speakers)
    try:
        logging.getLogger(logger).info("%s", text)
    finally:
        _here.was_said = False


def was_said() -> bool:
    """Return whether what this thread logs or prints now is in the log already."""
    return getattr(_here, "was_said", False)
