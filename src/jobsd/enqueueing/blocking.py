"""The warning of an enqueue that blocks the event loop in which it was called."""

import sys
import warnings
from types import FrameType

_warned = False


def warn_of_blocking() -> None:
    """Warn, once in a program, when the thread that is to wait for us runs an event loop."""
    global _warned  # noqa: PLW0603 - once in a program
    if _warned or sys.modules["asyncio"]._get_running_loop() is None:  # noqa: SLF001
        return
    _warned = True
    warnings.warn(
        "enqueue blocks the event loop of this thread while it waits for the database:"
        " `await job.aenqueue(…)`, or `await jobsd.aenqueue_many(…)`",
        RuntimeWarning,
        stacklevel=_levels_within_jobsd(),
    )


def _levels_within_jobsd() -> int:
    """Return the `stacklevel` of the line that has called jobsd."""
    level = 1
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_globals["__name__"].partition(".")[0] == "jobsd":
        level, frame = level + 1, frame.f_back
    return level
