"""The monitor: it writes the tree's rows and heartbeats, recovers dead processes, serves HTTP.

It has three threads. The main one ticks, takes signals and naps; the database thread is
described in `database_thread`; the HTTP server has one, and one for each request. A frozen
database blocks only the second.

It exits last. A TERM that comes to the whole process group, while the others still drain, is
only noted: the monitor leaves once the supervisor has announced that all workers are gone, or
is gone itself. After a TERM to the monitor alone it leaves for a successor.

The supervisor wakes the monitor after a reap by a signal that it handles (USR2, which has no
other effect), so dead processes are recovered at once. Without a signal that takes five
seconds.
"""

import os
import signal
import socket
import threading
from pathlib import Path

from jobsd.clock import monotonic
from jobsd.configuration.options import Options
from jobsd.database.connection import Target
from jobsd.events.events import emit
from jobsd.processes.context import Context
from jobsd.processes.lifecycle_hooks import LifecycleHooks
from jobsd.processes.process import ORPHAN_S, REST_MAX_S
from jobsd.processes.title import set_title
from jobsd.scoreboard.entry import UP
from jobsd.supervisor.recovery.recovery import keep_dead

from . import http, tree_figures
from .database_thread import DatabaseThread

LEAVE_S = 0.7
"""How long the last poll may take: the supervisor kills us after 0.8 s."""
ALONE_S = 1.0
"""Time after a TERM within which the supervisor must announce the stop of the whole tree."""
STOPPING_REST_S = 0.1
ALONE_AT_MOST_S = ORPHAN_S - 0.2
"""How long the other processes may take to exit once their supervisor is gone."""
EXIT_CRASHED = 70


class Monitor:
    """The monitor process of one tree."""

    def __init__(
        self,
        context: Context,
        target: Target,
        options: Options,
        listener: socket.socket | None = None,
        applied: str = "",
    ) -> None:
        self._context = context
        self._scoreboard = context.scoreboard
        self._has_supervisor = context.lifeline is not None
        self._stopping_since: float | None = None
        self._hooks = LifecycleHooks(context, "monitor", waits=False)
        self._summary = tree_figures.Summary(self._scoreboard)
        self._bind = _address(listener)
        metadata = {"bind": self._bind} if self._bind else {}
        self._database_thread = DatabaseThread(context, target, options, metadata, applied)
        self._thread = threading.Thread(
            target=self._database_thread.run, name="database", daemon=True
        )
        self._server = None
        if listener is not None:
            pages = http.Pages(self._scoreboard, target, options, self._database_thread)
            self._server = http.Server(listener, pages.by_path())

    def run(self) -> int:
        """Poll until it is time to leave; return the exit status."""
        emit("process.started")
        self._thread.start()
        if self._server is not None:
            self._server.start()
        while not self._may_leave():
            self.poll()
            if not self._thread.is_alive():
                # An error of our own has ended it and was reported; a successor starts from the
                # beginning.
                return EXIT_CRASHED
        self._leave()
        return 0

    def poll(self) -> None:
        """Tick, rest, and wake the database thread when a process has died."""
        self._context.entry.tick()
        if self._context.entry.row_id:
            self._hooks.start()
        self._summary.poll()
        set_title("monitor", self._doing())
        self._nap()
        if self._scoreboard.dead():
            self._database_thread.nap.wake()

    def _nap(self) -> None:
        lifeline = self._context.lifeline
        rest_s = STOPPING_REST_S if self._context.stopping else REST_MAX_S
        self._context.nap.take(rest_s, () if lifeline is None else (lifeline,))

    def _leave(self) -> None:
        orphaned = self._is_orphan()
        self._hooks.stop()
        tree_ends = orphaned or bool(self._scoreboard.stopping)
        if not orphaned and tree_ends and self._context.journals is not None:
            # Before the database is queried, which may take longer than there is time.
            keep_dead(self._scoreboard, self._context.journals)
        self._database_thread.finish(tree_ends=tree_ends, orphaned=orphaned)
        if orphaned:
            self._end_the_others(monotonic() + ALONE_AT_MOST_S)
        self._thread.join(LEAVE_S)
        self._hooks.exit()
        emit("process.stopped")

    def _may_leave(self) -> bool:
        if self._is_orphan():
            return True
        if not self._context.stopping:
            return False
        self._stopping_since = self._stopping_since or monotonic()
        if self._scoreboard.stopping:
            return self._scoreboard.stopping == 2
        return monotonic() - self._stopping_since > ALONE_S

    def _is_orphan(self) -> bool:
        return self._has_supervisor and os.getppid() != self._scoreboard.supervisor_pid

    def _end_the_others(self, deadline: float) -> None:
        """Kill the processes that outlive the supervisor: a job may keep Python's lock.

        Until the deadline they exit by themselves, and record the jobs that have ended. Our own
        alarm, which ends us like theirs, comes later.
        """
        others = [entry.pid for entry in self._scoreboard.living() if entry.pid != os.getpid()]
        while any(map(_is_of_a_tree, others)) and monotonic() < deadline:
            self._context.nap.take(0.02)
        for pid in filter(_is_of_a_tree, others):
            os.kill(pid, signal.SIGKILL)

    def _doing(self) -> str:
        if self._context.stopping:
            return "leaving last"
        up = sum(entry.state == UP for entry in self._scoreboard.living())
        where = f", on {self._bind}" if self._bind else ""
        away = "" if self._scoreboard.database_answers else ", database away"
        if self._scoreboard.tables_are_foreign:
            away = ", tables of another build"
        return f"{up} processes up{where}{away}"


def _is_of_a_tree(pid: int) -> bool:
    """Return whether a process id still is a process of ours, by its title."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"jobsd ")


def _address(listener: socket.socket | None) -> str:
    if listener is None:
        return ""
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
