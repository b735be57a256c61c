"""How a child is made: what it must not inherit, and what it is given.

In order: signals are held back, so that one which comes now finds either the parent's
handlers or the child's, never none. The child drops the parent's wake-up pipe (a signal
to the child would wake the parent), asks to be told of the parent's death, closes what
only the parent may hold, forgets who talks to systemd, installs its own handlers, and
only then lets signals in. It leaves by `_exit`: no `finally` and no `atexit` of the
parent runs twice.

Invariant: nothing is ignored and nothing stays blocked in a child. Both would pass
through exec into a program that a job starts, which could then not be ended with TERM.

`random` seeds itself anew in every fork.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
from typing import TYPE_CHECKING, NoReturn

from jobsd.instruments import logs, streams
from jobsd.instruments.events import emit
from jobsd.processes.context import Context
from jobsd.processes.process import listen_to_signals
from jobsd.processes.title import set_title

from .kernel import die_with_parent

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from jobsd.processes.entry import ScoreboardEntry
    from jobsd.processes.scoreboard import Scoreboard

    from .children import ChildSpec
    from .signals import Signals
    from .stack_dump import StackDump

EXIT_CRASHED = 70
_STDERR = 2

# What runs the author's code goes first. A kernel that finds its victim slow to die takes a
# second: one of us is replaced at once, while a database or the supervisor is an outage.
_SOONER_BY = {"worker": 500, "hooks": 500}
_SOONER_BY_OTHERS = 100

_OF_THE_SUPERVISOR = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
)


class Fork:
    """Makes children of this process.

    `private` returns descriptors that no child may hold (locks, above all); `listener` stays
    open in the monitor only. No child naps longer than `nap_max_s`.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        signals: Signals,
        listener: socket.socket | None,
        private: Callable[[], Iterable[int]],
        nap_max_s: float,
    ) -> None:
        self._scoreboard = scoreboard
        self._nap_max_s = nap_max_s
        self._signals = signals
        self._listener = listener
        self._lifeline, writer = os.pipe2(os.O_CLOEXEC)
        # Nobody else may hold the writing end: that it closes is how children know.
        self._private = private
        self._unshared: tuple[int, ...] = (writer,)

    def start(
        self, spec: ChildSpec, entry: ScoreboardEntry, dump: StackDump, others: Sequence[int]
    ) -> int:
        """Start a process that has taken `entry`; return its process id.

        It writes its stacks to `dump`; `others` are descriptors for those of its siblings.

        Raises:
            OSError: the system refuses a new process.
        """
        streams.flush()
        with self._signals.blocked():
            pid = os.fork()
            if pid == 0:
                self._unshared = (*self._unshared, *others)
                self._live(spec, entry, dump)
        dump.pipes.close_writers()
        entry.pid = pid
        return pid

    def _live(self, spec: ChildSpec, entry: ScoreboardEntry, dump: StackDump) -> NoReturn:
        status = EXIT_CRASHED
        try:
            status = _status_of(lambda: self._run(spec, entry, dump))
        finally:
            streams.flush()
            logs.finish()
            os._exit(status)

    def _run(self, spec: ChildSpec, entry: ScoreboardEntry, dump: StackDump) -> int:
        self._leave_parent(spec.kind)
        faulthandler.enable(_STDERR if dump.fd is None else dump.fd)
        entry.pid = os.getpid()
        context = Context(self._scoreboard, entry, entry.name, self._lifeline, dump.pipes)
        context.nap.longest_s = self._nap_max_s
        listen_to_signals(context)
        set_title(spec.kind, "starting")
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return spec.start(context)

    def _leave_parent(self, kind: str) -> None:
        self._signals.forget()
        die_with_parent(signal.SIGTERM)
        if os.getppid() != self._scoreboard.supervisor_pid:
            os._exit(0)
        for descriptor in (*self._unshared, *self._private()):
            os.close(descriptor)
        if self._listener is not None and kind != "monitor":
            self._listener.close()
        for name in _OF_THE_SUPERVISOR:
            os.environ.pop(name, None)
        _go_before_the_supervisor(_SOONER_BY.get(kind, _SOONER_BY_OTHERS))


def freeze() -> None:
    """Put what lives now out of reach of the children's collector.

    It would write to each object it looks at, and so copy the page: 57-75 MB a child for
    400,000 objects, 0-1 MB when frozen.
    """
    gc.collect()
    gc.freeze()


def _status_of(run: Callable[[], int]) -> int:
    try:
        return run()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:  # noqa: BLE001 - it is the end of the process
        emit("process.crashed", error=error)
        return EXIT_CRASHED


def _go_before_the_supervisor(sooner_by: int) -> None:
    """Say whom the kernel shall take when memory is short, in thousandths of the memory."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+b") as file:  # noqa: PTH123
        score = int(file.read())
        file.seek(0)
        file.write(b"%d" % min(1000, score + sooner_by))
