"""Forks a child, and closes the descriptors that it must not inherit.

First signals are blocked, so that one which comes now finds either the parent's handlers or the
child's. Then, in this order, the child drops the parent's wake-up pipe (a signal to the child
would wake the parent), asks the kernel for a signal when the parent dies, closes the
descriptors that only the parent may hold, removes systemd's variables from its environment,
installs its own handlers, and unblocks signals. It exits by `_exit`, so no `finally` and no
`atexit` of the parent runs twice.

Invariant: no signal is ignored or stays blocked in a child. Both would pass through exec into a
program that a job starts, which could then not be stopped with TERM.

`random` seeds itself again in every fork.
"""

import contextlib
import faulthandler
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn

from jobsd.events.events import emit
from jobsd.logs import logs, pipes
from jobsd.processes.context import Context
from jobsd.processes.process import listen_to_signals
from jobsd.processes.title import set_title
from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry

from .children import ChildSpec
from .kernel import die_with_parent
from .signals import Signals
from .stack_dump import StackDump

EXIT_CRASHED = 70
_STDERR = 2

# Processes that run the user's code are to be killed first. If a victim is slow to die, the
# kernel kills a second process: a worker is replaced at once, a database would be an outage.
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

    `private` returns the descriptors that no child may hold, above all those of locks; each of
    `listeners` stays open in processes of its kind only. No child naps longer than
    `nap_max_s`.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        signals: Signals,
        listeners: Mapping[str, socket.socket],
        private: Callable[[], Iterable[int]],
        nap_max_s: float,
    ) -> None:
        self._scoreboard = scoreboard
        self._nap_max_s = nap_max_s
        self._signals = signals
        self._listeners = listeners
        self._lifeline, writer = os.pipe2(os.O_CLOEXEC)
        # No other process may hold the writing end: children notice our end by its closing.
        self._private = private
        self._unshared: tuple[int, ...] = (writer,)

    def start(
        self, spec: ChildSpec, entry: ScoreboardEntry, dump: StackDump, others: Sequence[int]
    ) -> int:
        """Start a process that has taken `entry`; return its process id.

        It writes its stacks to `dump`; `others` are the descriptors of its siblings' dumps.

        Raises:
            OSError: the system refuses a new process.
        """
        pipes.flush_streams()
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
            pipes.flush_streams()
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
        for owner, listener in self._listeners.items():
            if owner != kind:
                listener.close()
        for name in _OF_THE_SUPERVISOR:
            os.environ.pop(name, None)
        _go_before_the_supervisor(_SOONER_BY.get(kind, _SOONER_BY_OTHERS))


def freeze() -> None:
    """Exempt all current objects from garbage collection in the children.

    The collector writes to each object that it visits, and so copies its page: 57-75 MB a child
    for 400,000 objects, 0-1 MB when they are frozen.
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
    """Let the kernel kill us before the supervisor when memory is short."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+b") as file:  # noqa: PTH123
        score = int(file.read())
        file.seek(0)
        file.write(b"%d" % min(1000, score + sooner_by))
