"""Interrupts of a command: its end, without a traceback, however early one comes.

Loading a command's modules takes longer than many commands take to run. An exception that is
raised within the import system may be dropped there, and printed; so until the command itself
begins, an interrupt ends the process at once. While Python itself starts, `bin/jobs` blocks
interrupts. From the command on an interrupt is a KeyboardInterrupt as usual: there may be state
to clean up. Once the command has ended, in whatever way, an interrupt ends the process at once
again: only its message is left, and a second Ctrl-C is a request to omit that.
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
    # A process started in the background ignores interrupts; keep that.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    sys.unraisablehook = _report
    # Until here `bin/jobs` has blocked interrupts. One that has come meanwhile ends the
    # process.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def are_exceptions() -> None:
    """Let interrupts be exceptions from here on."""
    _replace(_leave, signal.default_int_handler)


def are_the_end_again() -> None:
    """Let an interrupt end the process at once, if it did so before the command."""
    if sys.unraisablehook is _report:
        _replace(signal.default_int_handler, _leave)


def are_ignored() -> None:
    """Ignore interrupts: the command has ended."""
    _replace(_leave, signal.SIG_IGN)


def _replace(known: object, wanted: Callable[..., object] | int) -> None:
    """Replace the handler of interrupts, unless other code has set one."""
    if signal.getsignal(signal.SIGINT) is known:
        signal.signal(signal.SIGINT, wanted)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)


def _report(dropped: sys.UnraisableHookArgs) -> None:
    """Report an exception that Python drops; an interrupt must not be lost."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(dropped)
