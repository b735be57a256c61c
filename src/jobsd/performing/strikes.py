"""Raises an exception in another thread, only while it runs the user's code of one job.

Checking the thread's position and sending the exception must be one step. Between two bytecodes
the other thread could run on, into code of ours or to its next job. So one call of a function
that is written in C does both: the interpreter switches threads only between bytecodes. (A
garbage collection in that call could run Python code, so it is switched off.)
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

from jobsd.clock import monotonic
from jobsd.jobs.interrupts import Interrupt, Interruptible, find_here

from .calls import CODE
from .frames import is_open
from .raising import NEEDED, RAISING, in_call, turns

_WRITERS = {
    __name__,
    *("jobsd.logs.line_ends", "jobsd.logs.line_handler"),
    *("jobsd.logs.logs", "jobsd.logs.printed"),
}
"""Modules of ours that write lines to the log."""

_send: Any = ctypes.pythonapi.PyThreadState_SetAsyncExc
_send.argtypes = (ctypes.c_ulong, ctypes.py_object)
_send.restype = ctypes.c_int
# Its purpose is to inspect other threads: see `sys` in the manual.
_frames = sys._current_frames  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
_state = attrgetter("job", "shields")


_STUCK_CHECKS = 150
"""Checks of a thread that has not moved until it counts as waiting in C: about a second. A
thread that waited for the interpreter among busy ones did not move for 50 checks."""


class Strike:
    """An interrupt to be raised in the job of a thread, in one or more tries."""

    def __init__(self, thread: Interruptible, interrupt: Interrupt) -> None:
        self.thread, self.interrupt = thread, interrupt
        self.began = monotonic()
        self._stood_at: tuple[int, int] = (0, 0)
        self._stood = 0

    @property
    def has_come(self) -> bool:
        """Whether the interrupt was sent, or raised by the thread itself."""
        return self.thread.sent is self.interrupt

    def attempt(self) -> None:
        """Raise the interrupt, unless the thread runs code that is not the user's."""
        thread = self.thread
        frame = _frames().get(thread.thread_id)
        if frame is None or thread.is_shielded or not is_open(frame):
            self.end()
        elif not NEEDED:
            self._send(frame)
        elif not self._stands(frame):
            if not RAISING.watch(thread, frame):
                self._send(frame)
        else:
            # Limit the slowdown of other threads that run the same code.
            self.end()
            if in_call(frame):
                self._send(frame)

    def end(self) -> None:
        """Stop watching the thread."""
        if NEEDED:
            RAISING.leave(self.thread)

    def _stands(self, frame: FrameType) -> bool:
        at = id(frame), frame.f_lasti
        self._stood = self._stood + 1 if at == self._stood_at else 0
        self._stood_at = at
        return self._stood >= _STUCK_CHECKS and not turns(frame)

    def _send(self, frame: FrameType) -> None:
        # Invariant: set this first, so that the thread does not also raise it by itself.
        self.thread.sent = self.interrupt
        if not _sent(self.thread, self.interrupt, frame):
            self.thread.sent = None


def _sent(thread: Interruptible, interrupt: Interrupt, frame: FrameType) -> bool:
    """Send the exception if the thread is still in this frame; return whether it was."""
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
    """Raise a pending interrupt in the job that was printing or logging."""
    found = find_here()
    if found is None or found.interrupt is None:
        return
    frame = _writer()
    if frame is not None and is_open(frame):
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
