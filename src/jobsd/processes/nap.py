"""The rest between two polls of a loop, which a signal, a thread or a socket can end."""

import contextlib
import os
import select
import signal
import weakref
from collections.abc import Iterable

_WOKEN = b"\0"
YIELD_S = 0.0001
"""Longer than the wake-up of a thread."""


class Nap:
    """A process's rest between two polls.

    A signal handler may do next to nothing safely, but it may write a byte: so the sleeper
    waits for a pipe to become readable, and `wake` writes to it.

    No nap is longer than `longest_s`, since a process is judged by its ticks.
    """

    longest_s = float("inf")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A thread may wake us until the end, so the pipe is closed with the last reference to
        # us.
        self._close = weakref.finalize(self, _close, self._reader, self._writer)
        self._close.atexit = False

    def take(self, seconds: float, sockets: Iterable[int] = ()) -> list[int]:
        """Sleep for at most `seconds`; return the descriptors that woke us, if any did.

        A socket in `sockets` that is readable, or broken, ends the nap too.
        """
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        for fileno in sockets:
            poller.register(fileno, select.POLLIN)
        seconds = min(seconds, self.longest_s)
        # Rounded up: a nap that ends too early would be followed by another one.
        woken = [fd for fd, _ in poller.poll(max(0, -int(-seconds * 1000 // 1)))]
        if self._reader in woken:
            self._drain()
        return woken

    def yield_gil(self, seconds: float = YIELD_S) -> bool:
        """Let threads that were just woken have the interpreter's lock, for at most `seconds`.

        Returns whether only a thread has woken us meanwhile: the caller handles its work. Any
        other wake-up ends the next nap.
        """
        if not select.select([self._reader], [], [], seconds)[0]:
            return False
        # A signal writes its number.
        if not os.read(self._reader, 512).strip(_WOKEN):
            return True
        self.wake()
        return False

    def wake(self) -> None:
        """End the nap now, or the next one if none is being taken.

        Safe in a signal handler and from any thread.
        """
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, _WOKEN)

    def wake_on_signals(self) -> None:
        """Let each signal that has a handler end the nap. Main thread only.

        A handler runs between two instructions of Python, so its `wake` could come too late for
        a sleep that began just before it: the interpreter's C handler must write the byte.
        """
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def close(self) -> None:
        """Close the pipe. Only `set_wakeup_fd(-1)` undoes `wake_on_signals`."""
        self._close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 512):
                continue


def _close(*pipe: int) -> None:
    for end in pipe:
        os.close(end)
