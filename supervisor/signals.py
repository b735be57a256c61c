"""The supervisor's signals: the handler only notes them, the loop acts on them."""

import contextlib
import signal
from collections.abc import Generator, Iterable
from types import FrameType

from jobsd.processes.nap import Nap

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
    """The signals received since they were last taken, each of them once.

    Five thousand TERMs count as one. An object is made in the main thread, once in a process.
    The handlers stay installed for good, so that a late TERM can't kill us half-way.
    """

    def __init__(self) -> None:
        self._nap = Nap()
        self._seen: dict[signal.Signals, None] = {}
        for number in HEARD:
            signal.signal(number, self._note)
        self._nap.wake_on_signals()
        # Our parent may have blocked some signals; then they could not stop us.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, seconds: float, sockets: Iterable[int] = ()) -> bool:
        """Rest for at most `seconds`; return whether a signal or a readable socket ended it."""
        return bool(self._seen or self._nap.take(seconds, sockets))

    def take(self) -> list[signal.Signals]:
        """Return the signals received since the last call, in their order."""
        seen, self._seen = self._seen, {}
        return list(seen)

    def wants_to_stop(self) -> bool:
        """Return whether a signal to stop has come that was not taken yet."""
        return not self._seen.keys().isdisjoint(
            {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT},
        )

    @contextlib.contextmanager
    def blocked(self) -> Generator[None]:
        """Block all signals; they come when the `with` block ends."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def forget(self) -> None:
        """Remove the handlers in a child, where a signal would otherwise wake the parent."""
        signal.set_wakeup_fd(-1)
        for number in HEARD:
            signal.signal(number, signal.SIG_DFL)
        self._nap.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._seen[signal.Signals(number)] = None
