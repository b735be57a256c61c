"""Forks of jobs and hooks (`os.fork`, `multiprocessing`) are no processes of the tree.

A fork inherits the signal handlers, and with them the scoreboard entry: a TERM meant for the
copy alone would be recorded there for the original, or for the process that has the entry by
then. A copy in the middle of a wait in C would not end at all. So it gets what Python gives
to any program: the same that an exec would have made of the handlers.
"""

import contextlib
import faulthandler
import mmap
import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


_MADV_WIPEONFORK = 18
"""Of Linux since 4.14; Python has no name for it."""


def original_mark() -> mmap.mmap:
    """Return memory whose first byte is 1 in this process and 0 in each copy of it.

    To read it takes a fifth of the time of asking for the process's id, which is a call of the
    system. The kernel clears it for whatever has forked; where it can't, Python's forks do.
    """
    mark = mmap.mmap(-1, 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        mark.madvise(_MADV_WIPEONFORK)
    os.register_at_fork(after_in_child=partial(mark.__setitem__, 0, 0))
    mark[0] = 1
    return mark


def reset_signals_in_forks(handlers: Mapping[int, Handler]) -> None:
    """Remove these handlers, and what belongs to them, in each copy of this process.

    Invariant: called once, in a process that forks no process of the tree.
    """
    forking = threading.local()
    foreign = threading.Event()

    def hold_back() -> None:
        # Between the fork and the end of `become_foreign`, TERM would meet our handler, or be
        # lost: Python clears the signals that have come before a fork.
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)

    def let_in() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def become_foreign() -> None:
        try:
            # Handlers that a copy has set up since are for its own forks to inherit.
            if not foreign.is_set():
                _drop(handlers)
                foreign.set()
        finally:
            let_in()

    os.register_at_fork(before=hold_back, after_in_parent=let_in, after_in_child=become_foreign)


def _drop(handlers: Mapping[int, Handler]) -> None:
    signal.set_wakeup_fd(-1)
    # It would write into the memory in which the process's own stacks are expected.
    faulthandler.disable()
    for number, handler in handlers.items():
        if signal.getsignal(number) is handler:
            signal.signal(number, _default(number))


def _default(number: int) -> Handler | signal.Handlers:
    return signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
