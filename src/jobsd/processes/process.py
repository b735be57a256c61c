"""The life of a process below the supervisor: boot, polls, stop.

A process runs a loop that knows no forks and threads: `poll` does the due work and returns the
time until more is due. The common part of all loops is here: ticks, naps, signals, outages of
the database, the death of the supervisor.

States: booting (until the database has been reached and the row is written), polling ⇄ napping,
stopping (once asked to), gone. An outage leads from any of the first three back to booting;
jobs that run meanwhile go on.
"""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Protocol

from psycopg import errors

from jobsd.database.connection import OUTAGES
from jobsd.database.other_build import UNDEFINED
from jobsd.errors import SchemaError
from jobsd.events.events import emit
from jobsd.logs import logs

from .context import Context
from .forks import Handler, reset_signals_in_forks
from .lifecycle_hooks import LifecycleHooks
from .outage import Outage
from .recycling import RecyclePolicy
from .title import set_title

REST_MAX_S = 5.0
"""Every loop polls at least this often, even without a wake-up."""

UNREAD_REST_MAX_S = 0.1
"""The same while the monitor has unread journals, before which no job is claimed."""

PAUSED_REST_MAX_S = 1.0
"""The same while everything is paused: no process is woken when the pause ends."""

ORPHAN_S = 0.7
"""Time that a process lives on after its supervisor, to record ended jobs."""

QUIET = signal.SIGRTMIN + 1
"""Makes a worker claim no more jobs. Not a signal that is commonly sent to a whole group."""

_NOT_OURS = (
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)

# Tables that are missing, of another program, or inaccessible are waited for like a database
# that can't be reached: a person has to act, or our monitor's migration waits for a transaction
# that locks them, and a successor of ours would meet the same tables.
WAITED_OUT = (
    *OUTAGES,
    *UNDEFINED,
    SchemaError,
    errors.InsufficientPrivilege,
)


class Loop(Protocol):
    """The loop of a dispatcher, a scheduler or a worker."""

    kind: str

    def connect(self) -> None:
        """Reach the database, register, and reconcile the effects of an outage."""

    def disconnect(self) -> None:
        """Drop the connection: it is broken, or the process exits."""

    def poll(self) -> float:
        """Do the due work; return the seconds until more is due."""
        ...

    def socket(self) -> int | None:
        """Return the socket that receives wake-ups, if there is one."""
        ...

    def doing(self) -> str:
        """Return the text for the process's title."""
        ...

    def stop(self) -> None:
        """Begin to stop: take no new work. `poll` is called until `stopped`."""

    @property
    def stopped(self) -> bool:
        """Whether the process may exit."""
        ...

    def farewell(self) -> None:
        """Delete the row at the very end, if the database can be reached."""


def run(loop: Loop, context: Context, recycle_policy: RecyclePolicy | None = None) -> int:
    """Run the loop until it is asked to stop and has stopped; return the exit status.

    With a `recycle_policy` it asks for a successor at a limit; once the successor is up, it is
    stopped.
    """
    outage = Outage(context.scoreboard, context.entry)
    hooks = LifecycleHooks(context, loop.kind)
    connected = False
    asked = False
    emit("process.started")
    while not (loop.stopped and asked):
        context.entry.tick()
        if context.stopping and not asked:
            asked = True
            hooks.stop()
            loop.stop()
        try:
            if not connected:
                loop.connect()
                connected = True
                outage.recognized()
                hooks.start()
            rest_s = loop.poll()
            context.entry.working = 1
            if recycle_policy is not None:
                recycle_policy.check()
            outage.over()
        except WAITED_OUT as error:
            loop.disconnect()
            connected = False
            rest_s = outage.note(error)
            if asked and loop.stopped:
                break
        set_title(loop.kind, loop.doing())
        _nap(loop, context, rest_s)
    _say_farewell(loop)
    hooks.exit()
    emit("process.stopped")
    return 0


def _rest_max_s(context: Context) -> float:
    if context.scoreboard.journals_unread:
        return UNREAD_REST_MAX_S
    return PAUSED_REST_MAX_S if context.scoreboard.everything_paused else REST_MAX_S


def _nap(loop: Loop, context: Context, rest_s: float) -> None:
    if context.stopping and loop.stopped:
        return
    sockets = [fd for fd in (loop.socket(), context.lifeline) if fd is not None]
    context.nap.take(min(rest_s, _rest_max_s(context)), sockets)
    if _is_orphan(context):
        _follow_supervisor(context)


def _is_orphan(context: Context) -> bool:
    """Return whether our supervisor is gone; False once we have acted on that."""
    return context.lifeline is not None and os.getppid() != context.scoreboard.supervisor_pid


def _follow_supervisor(context: Context) -> None:
    """Exit soon: the supervisor is gone, so no process of our tree would recover us."""
    context.lifeline = None
    context.orphaned = True
    context.request_stop()
    # The default action of the alarm ends the process even when no Python code runs.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, ORPHAN_S)


def _say_farewell(loop: Loop) -> None:
    try:
        loop.farewell()
    except WAITED_OUT:
        # The row stays; the monitor that finds it recovers us.
        loop.disconnect()


def listen_to_signals(context: Context) -> None:
    """Install the signal handlers of a process below the supervisor.

    TERM stops it in order, QUIT at once, USR1 reopens the log, and RTMIN+1 makes a worker claim
    no more jobs. The other signals are for the supervisor, but a terminal sends them to the
    whole process group: their handlers do nothing, since an ignored signal would also be
    ignored by programs that a job starts. Forks of jobs have no handlers.
    """
    context.nap.wake_on_signals()
    handlers: dict[int, Handler] = {
        signal.SIGTERM: lambda _signal, _frame: _be_terminated(context),
        signal.SIGQUIT: lambda _signal, _frame: os._exit(0),
        signal.SIGUSR1: lambda _signal, _frame: _reopen_log(),
        QUIET: lambda _signal, _frame: _be_quiet(context),
        **dict.fromkeys(_NOT_OURS, _do_nothing),
    }
    for number, handler in handlers.items():
        signal.signal(number, handler)
    reset_signals_in_forks(handlers)
    threading.excepthook = _report_thread


def _do_nothing(_signal: int, _frame: FrameType | None) -> None:
    pass


def _be_quiet(context: Context) -> None:
    context.quiet = True


def _reopen_log() -> None:
    # The supervisor tries the same, and reports the error.
    with contextlib.suppress(OSError):
        logs.reopen()


def _be_terminated(context: Context) -> None:
    """Stop; set the alarm at once if the signal comes from the supervisor's death.

    The loop may be in a long wait for the database, and would see the end of the lifeline too
    late.
    """
    context.entry.leaving = 1
    context.request_stop()
    if _is_orphan(context):
        _follow_supervisor(context)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    thread = failure.thread.name if failure.thread else ""
    ours = _is_ours(failure.exc_traceback)
    emit("thread.failed", error=failure.exc_value, thread=thread, ours=ours)


def _is_ours(trace: TracebackType | None) -> bool:
    """Return whether a thread runs code of ours: jobs may start threads of their own."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == "threading":
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.startswith("jobsd.") and not module.startswith("jobsd.jobs.")
