"""Forks of jobs and hooks (`os.fork`, `multiprocessing`) are no processes of the tree.

A fork inherits the signal handlers, and with them the scoreboard entry: a TERM sent to the copy
alone would be recorded there for the original, or for the process that has the entry by then. A
copy in the middle of a wait in C would not end at all. So its handlers are set to Python's
defaults: the same that an exec would restore.
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
"""From Linux 4.14 on; Python has no name for it."""


def original_mark() -> mmap.mmap:
    """Return memory with a first byte of 1 in this process and 0 in each copy of it.

    Reading it takes a fifth of the time of the system call for the process's id. The kernel
    clears it in every fork; if the kernel can't, Python clears it in its own forks.
    """
    mark = mmap.mmap(-1, 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        mark.madvise(_MADV_WIPEONFORK)
    os.register_at_fork(after_in_child=partial(mark.__setitem__, 0, 0))
    mark[0] = 1
    return mark


def reset_signals_in_forks(handlers: Mapping[int, Handler]) -> None:
    """Remove these handlers, and their state, in each copy of this process.

    Invariant: called once, in a process that forks no process of the tree.
    """
    forking = threading.local()
    foreign = threading.Event()

    def hold_back() -> None:
        # Between the fork and the end of `become_foreign`, TERM would call our handler, or be
        # lost: Python drops signals that were received before a fork.
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)

    def let_in() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def become_foreign() -> None:
        try:
            # Forks of the copy inherit handlers that the copy has set up since.
            if not foreign.is_set():
                _drop(handlers)
                foreign.set()
        finally:
            let_in()

    os.register_at_fork(before=hold_back, after_in_parent=let_in, after_in_child=become_foreign)


def _drop(handlers: Mapping[int, Handler]) -> None:
    signal.set_wakeup_fd(-1)
    # It would write into the memory that is read for the process's own stacks.
    faulthandler.disable()
    for number, handler in handlers.items():
        if signal.getsignal(number) is handler:
            signal.signal(number, _default(number))


def _default(number: int) -> Handler | signal.Handlers:
    return signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
