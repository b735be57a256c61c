"""Writes log lines even if the user's modules have reconfigured `logging`.

Their configuration may disable loggers and remove handlers; the heartbeat must be seen
nevertheless. The log itself writes such a line. The line is also passed on to `logging`, for
the user's own handlers (files, services); output of these handlers is not logged a second time.
"""

import threading
from collections.abc import Callable

Writer = Callable[[str, str], None]

_writer: Writer | None = None
_here = threading.local()


def set_writer(writer: Writer) -> None:
    """Let `writer(logger, text)` write these lines in this process."""
    global _writer  # noqa: PLW0603 - a process has one log
    _writer = writer


def clear_writer() -> None:
    """Leave these lines to `logging` again."""
    global _writer  # noqa: PLW0603 - as above
    _writer = None


def log_always(logger: str, text: str) -> None:
    """Log a text at level info."""
    writer = _writer
    if writer is not None:
        writer(logger, text)
    _here.is_logged = writer is not None
    import logging  # noqa: PLC0415 - every program that defines a job loads this module

    try:
        logging.getLogger(logger).info("%s", text)
    finally:
        _here.is_logged = False


def is_logged() -> bool:
    """Return whether output and log records of this thread are in the log already."""
    return getattr(_here, "is_logged", False)
