"""Interrupts of a command: its end, without a traceback, however early one comes.

What a command needs takes longer to load than many take to run. An exception that is raised
within the import system may be dropped there, and printed; so until the command itself begins,
an interrupt ends the process at once. While Python itself starts, `bin/jobs` lets it wait.
From there on it is a KeyboardInterrupt as ever: there may be something to clean up. Once the
command has ended, however that was, an interrupt ends the process at once again: nothing is
left but to say so, and a second Ctrl-C wants no more of it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # true for checkers; an interrupt may come while `typing` is loaded

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn
else:
    # The part that is built into Python: while the rest is loaded, an interrupt may come.
    import _signal as signal

INTERRUPTED = 130


def are_the_end() -> None:
    """Let an interrupt end the process at once."""
    # Who is started in the background ignores interrupts, and goes on to.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    sys.unraisablehook = _report
    # Until here `bin/jobs` has let interrupts wait. One that has come in between is the end.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def are_exceptions() -> None:
    """Let interrupts be exceptions from here on."""
    _replace(_leave, signal.default_int_handler)


def are_the_end_again() -> None:
    """Let an interrupt end the process at once, where it did so before the command."""
    if sys.unraisablehook is _report:
        _replace(signal.default_int_handler, _leave)


def are_ignored() -> None:
    """Let no interrupt spoil what has ended."""
    _replace(_leave, signal.SIG_IGN)


def _replace(known: object, wanted: Callable[..., object] | int) -> None:
    """Handle interrupts in another way, unless somebody else has decided how."""
    if signal.getsignal(signal.SIGINT) is known:
        signal.signal(signal.SIGINT, wanted)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)


def _report(dropped: sys.UnraisableHookArgs) -> None:
    """Report what Python drops, unless that is an interrupt: it must not be lost."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(dropped)
