"""Signals as things to be read: the handler only notes them, the loop decides."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

from jobsd.processes.nap import Nap

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from types import FrameType

HEARD = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)


class Signals:
    """The signals that have come since they were last looked at, each told once.

    Five thousand TERMs are one. Made in the main thread; there is one in a process. The
    handlers stay installed for good: a TERM that comes late must not end us otherwise
    than in order.
    """

    def __init__(self) -> None:
        self._nap = Nap()
        self._seen: dict[signal.Signals, None] = {}
        for number in HEARD:
            signal.signal(number, self._note)
        self._nap.wake_on_signals()
        # Whoever started us may have blocked some; nobody could end us then.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, seconds: float, sockets: Iterable[int] = ()) -> None:
        """Rest for at most `seconds`; a signal ends the rest, also one that came before.

        So does a socket that is readable.
        """
        if not self._seen:
            self._nap.take(seconds, sockets)

    def take(self) -> list[signal.Signals]:
        """Return the signals that have come since the last time, in their order."""
        seen, self._seen = self._seen, {}
        return list(seen)

    def wants_to_stop(self) -> bool:
        """Return whether a signal to stop has come that was not taken yet."""
        return not self._seen.keys().isdisjoint(
            {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT},
        )

    @contextlib.contextmanager
    def blocked(self) -> Generator[None]:
        """Keep all signals back; they come when the block ends."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def forget(self) -> None:
        """Undo all of it in a child: else a signal to the child would wake the parent."""
        signal.set_wakeup_fd(-1)
        for number in HEARD:
            signal.signal(number, signal.SIG_DFL)
        self._nap.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._seen[signal.Signals(number)] = None
