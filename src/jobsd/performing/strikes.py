"""Raises an exception in another thread, only while it runs the user's code of one job.

To see where the thread is and to send the exception must be one step. Between two bytecodes
the other thread could run on, into code of ours or to its next job. So both are done in one
call of a function that is written in C: the interpreter switches threads only between
bytecodes. (A collection of garbage in that call could run Python code: it is switched off.)
"""

import ctypes
import gc
import logging
import sys
from functools import partial
from itertools import compress, starmap
from operator import attrgetter, call, eq, is_, itemgetter
from types import FrameType
from typing import Any

from jobsd.jobs.interrupts import Interrupt, Interruptible, find_here

from .calls import CODE

_OURS = ("jobsd", "logging")
_THROUGH = ("jobsd.jobs.around", "jobsd.jobs.definition", "jobsd.jobs.enqueueable")
"""Modules of ours that call the author's code."""

_WRITERS = {
    __name__,
    *("jobsd.instruments.line_ends", "jobsd.instruments.line_handler"),
    *("jobsd.instruments.logs", "jobsd.instruments.printed"),
}
"""Modules of ours that write lines to the log."""

_send: Any = ctypes.pythonapi.PyThreadState_SetAsyncExc
_send.argtypes = (ctypes.c_ulong, ctypes.py_object)
_send.restype = ctypes.c_int
# It is meant for looking at other threads: see `sys` in the manual.
_frames = sys._current_frames  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
_state = attrgetter("job", "shields")


def strike(thread: Interruptible, interrupt: Interrupt) -> bool:
    """Raise the exception in the job unless its thread runs other code; return whether."""
    frame = _frames().get(thread.thread_id)
    if frame is None or not _is_open(frame):
        return False
    meant = map(partial(eq, (interrupt.job, 0)), map(_state, (thread,)))
    here = map(partial(is_, frame), map(itemgetter(thread.thread_id), map(call, (_frames,))))
    what = compress([(thread.thread_id, interrupt.kind)], meant)
    sending = starmap(_send, compress(what, here))
    collects = gc.isenabled()
    gc.disable()
    try:
        return bool(list(sending))
    finally:
        if collects:
            gc.enable()


def deliver_behind_line() -> None:
    """Raise an interrupt in the job that it could not strike while that printed or logged."""
    found = find_here()
    if found is None or found.interrupt is None:
        return
    frame = _writer()
    if frame is not None and _is_open(frame):
        found.deliver()


def _writer() -> FrameType | None:
    """Return the frame that printed or logged; None for a handler, which holds a lock.

    Other libraries may stand between two frames of `logging`, whose methods they wrap.
    """
    writer: FrameType | None = None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code is not CODE:
        name = str(frame.f_globals.get("__name__"))
        logs = name.partition(".")[0] == "logging"
        if logs and isinstance(frame.f_locals.get("self"), logging.Handler):
            return None
        if logs or name in _WRITERS:
            writer = frame.f_back
        frame = frame.f_back
    return writer


def _is_open(frame: FrameType) -> bool:
    """Return whether a thread that is in this frame runs the author's code only."""
    found: FrameType | None = frame
    while found is not None and found.f_code is not CODE:
        if _is_ours(found) and (found is frame or found.f_globals["__name__"] not in _THROUGH):
            return False
        found = found.f_back
    return found is not None


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS
