"""A tree whose supervisor is played by the test; its processes are really forked.

The test reaps and recovers, as the supervisor does. The monitor is the real one. Workers
only do what a monitor can see: they register, claim, tick, and say what they run.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from harness.event_log import EventLog
from harness.job_rows import claim
from harness.monitor_options import make_options
from jobsd.clock import monotonic_ns
from jobsd.database.connection import Session
from jobsd.processes import registry
from jobsd.processes.context import Context
from jobsd.processes.process import listen_to_signals
from jobsd.scoreboard.entry import FREE, UP
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.monitor import Monitor
from logs.readable_log import Log
from waiting import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator

    from jobsd.configuration.options import Options
    from jobsd.database.connection import Target
    from jobsd.jobs.policy import Ending
    from jobsd.scoreboard.entry import ScoreboardEntry


class PlayedTree(EventLog):
    """The scoreboard of a tree, its log, and the processes that the test has forked."""

    def __init__(
        self, target: Target, options: Options, scoreboard: Scoreboard | None = None
    ) -> None:
        super().__init__()
        self.target = target
        self.options = options
        self.log = Log()
        self.scoreboard = scoreboard or Scoreboard()
        self.scoreboard.supervisor_pid = os.getpid()
        self.scoreboard.supervisor_name = registry.new_name("supervisor")
        self.scoreboard.started_ns = monotonic_ns()
        self.scoreboard.tick()
        self.scoreboard.thresholds = options.supervisor.thresholds
        self.lifeline, self._lifeline_end = os.pipe()
        self._session = Session(target, "test")
        self._living: dict[int, ScoreboardEntry] = {}

    def fork(self, kind: str, live: Callable[[Context], int]) -> ScoreboardEntry:
        """Start a process that does `live` and nothing else of ours."""
        entry = self.scoreboard.free_entry()
        assert entry is not None
        entry.take(kind, registry.new_name(kind))
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                os.close(self._lifeline_end)
                entry.pid = os.getpid()
                context = Context(self.scoreboard, entry, entry.name, self.lifeline)
                listen_to_signals(context)
                self.log.configure(kind=kind, name=entry.name)
                status = live(context)
            finally:
                os._exit(status)
        entry.pid = pid
        self._living[pid] = entry
        return entry

    def start_monitor(
        self, listener: socket.socket | None = None, *, surveys: bool = True
    ) -> ScoreboardEntry:
        """Start a monitor, and wait until it has looked at the database."""
        before = self.scoreboard.monitor_polled_ns
        entry = self.fork(
            "monitor",
            lambda context: Monitor(context, self.target, self.options, listener).run(),
        )
        if surveys:
            wait_until(
                lambda: (
                    self.scoreboard.monitor_polled_ns > before and self.scoreboard.database_up
                )
            )
        return entry

    def start_worker(
        self,
        *claimed: int,
        running: tuple[int, ...] = (),
        succeeded: tuple[int, ...] = (),
        endings: tuple[Ending, ...] = (),
        live: Callable[[Context, Session], None] | None = None,
    ) -> ScoreboardEntry:
        """Start a process that has claimed jobs, runs some of them, and has ended others.

        The claim of the endings is this one.
        """

        def work(context: Context) -> int:
            session = Session(self.target, context.name)
            row_id = registry.enter(session, context, "worker", {"threads": 3})
            claim_id = claim(session, row_id, claimed) if claimed else 0
            context.entry.set_threads(len(running), 3)
            for thread, job_id in enumerate(running):
                context.entry.started(thread, job_id, claim_id)
            for job_id in succeeded:
                context.entry.ended(job_id, claim_id)
            for ending in endings:
                context.entry.ended_as(ending._replace(claim_id=claim_id))
            if live is not None:
                live(context, session)
            while not context.stopping:
                context.entry.tick()
                context.nap.take(0.02)
            registry.deregister(session, row_id)
            return 0

        entry = self.fork("worker", work)
        wait_until(lambda: entry.state == UP)
        return entry

    def kill(self, entry: ScoreboardEntry, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a process a signal."""
        os.kill(entry.pid, number)

    def reap(
        self, entry: ScoreboardEntry, reason: str = "signal", within_s: float = 60.0
    ) -> int:
        """Wait for the end of a process, and record its exit; return its wait status."""
        ended: list[tuple[int, int]] = []

        def has_ended() -> bool:
            pid, status, usage = os.wait4(entry.pid, os.WNOHANG)
            if pid:
                ended.append((status, usage.ru_maxrss))
            return bool(pid)

        wait_until(has_ended, within_s)
        del self._living[entry.pid]
        ((status, rss_kib),) = ended
        entry.record_exit(status, reason, rss_kib)
        return status

    def wake(self, monitor: ScoreboardEntry) -> None:
        """Tell the monitor that somebody has died."""
        os.kill(monitor.pid, signal.SIGUSR2)

    def destroy(
        self,
        entry: ScoreboardEntry,
        monitor: ScoreboardEntry,
        *,
        number: int = signal.SIGKILL,
        reason: str = "signal",
    ) -> None:
        """Kill a process, reap it, and wait until the monitor has recovered it."""
        os.kill(entry.pid, number)
        self.reap(entry, reason)
        self.wake(monitor)
        wait_until(lambda: entry.state == FREE)

    def read(self) -> None:
        """Read what the processes have logged meanwhile."""
        self.lines += self.log.text().splitlines()

    def survey_passes(self, times: int = 2) -> None:
        """Wait until the monitor's heartbeat was written so many times anew."""
        for _ in range(times):
            before = self._heartbeat()
            wait_until(lambda before=before: self._heartbeat() != before)  # type: ignore[misc]

    def close(self) -> None:
        """Kill what lives still."""
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGCONT)
            os.waitpid(pid, 0)
        self._session.close()
        os.close(self.lifeline)
        os.close(self._lifeline_end)
        self.log.close()

    def _heartbeat(self) -> object:
        rows = self._session.connection.execute(
            "SELECT xmin::text FROM jobsd.processes WHERE kind = 'supervisor'"
        )
        return rows.fetchall()


@contextlib.contextmanager
def tree_on(
    target: Target, options: Options | None = None, **changes: Any
) -> Generator[PlayedTree]:
    """A tree on a database, that ends with the block."""
    with contextlib.closing(
        PlayedTree(target, options or make_options(target, **changes))
    ) as tree:
        yield tree
