"""The supervisor: forks the other processes, watches them, replaces them, stops them.

It has one thread, no database and no HTTP, and never waits for another process: with a query in
its loop, a frozen server stopped the loop for 7.6 s of 8; with the query in a child the worst
delay was 0.10 s. It reads the ticks of the scoreboard, reaps, and takes signals. Its parts are
files of their own: the children (`child_table`), processes that hang (`hang_detection`),
successors (`rolling_restart`, `reload`), the stop (`stopping`, `restart`), the status
(`status`).

A poll handles signals and requests, then exits, then either the stop or, in this order, hung
processes, lost rows, recycling, a reload, the rolling restart and children without a process.
Then the loop rests for up to a second; a signal ends the rest.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobsd.clock import monotonic, monotonic_ns
from jobsd.configuration.options import SupervisorOptions
from jobsd.processes.registry import new_name
from jobsd.scoreboard.scoreboard import Scoreboard

from . import children, hooks_process, kernel, oom, status
from .child_table import ChildTable
from .events import emit
from .fork import Fork, freeze
from .hang_detection import HangDetection
from .orphans import Orphans
from .reload import Reload
from .requests import Requester, Requests
from .restart import Restart
from .rolling_restart import RollingRestart, Step
from .signals import Signals
from .stopping import Stop
from .time_limits import TimeLimits

REST_MAX_S = 1.0
EXIT_USAGE = 2
END_S = 5.0
"""Time of an end beside the drain: the monitor leaves last, then an embedded server."""


def _nothing(*_: Any) -> None:  # noqa: ANN401 - takes whatever it is given
    return None


@dataclass(frozen=True, slots=True)
class SupervisorCallbacks:
    """The functions of the program that the supervisor calls.

    `reload` returns the new specs, or None or an error to keep the old ones. `read` only reads
    the configuration, as a restart will. `notify` sends lines to systemd, whose watchdog
    expects one every `watchdog_s`. `requests` are those of commands.
    """

    reload: Callable[[], Sequence[children.ChildSpec] | None] = _nothing
    read: Callable[[], object] = _nothing
    reopen_logs: Callable[[], None] = _nothing
    notify: Callable[[str], None] = _nothing
    watchdog_s: float | None = None
    requests: Requests = field(default_factory=Requests)


class Supervisor:
    """Runs the processes of the specs until it is asked to stop.

    `private` are descriptors that no process may hold, such as the lock on the pidfile; each of
    `listeners` stays open in processes of its kind only. Made and run in the main thread of a
    process that has no other thread.
    """

    def __init__(  # noqa: PLR0913 - facts of the assembly
        self,
        specs: Sequence[children.ChildSpec],
        options: SupervisorOptions,
        scoreboard: Scoreboard,
        *,
        callbacks: SupervisorCallbacks | None = None,
        listeners: Mapping[str, socket.socket] | None = None,
        private: Sequence[int] = (),
    ) -> None:
        callbacks = callbacks or SupervisorCallbacks()
        self._options, self._scoreboard = options, scoreboard
        scoreboard.thresholds = options.thresholds
        self._callbacks = callbacks
        self._signals, self._orphans, self._oom_kills = Signals(), Orphans(), oom.OomKills()
        descriptors = (*private, *self._oom_kills.descriptors)
        # An idle loop must tick often enough not to be taken for a hung one.
        nap_max_s = min(options.hang_timeout_s, options.process_alive_threshold_s) / 4
        fork = Fork(
            scoreboard,
            self._signals,
            listeners or {},
            lambda: (*descriptors, *callbacks.requests.descriptors()),
            nap_max_s,
        )
        self._table = ChildTable(scoreboard, fork, self._oom_kills)
        self._table.add(specs)
        self._hang_detection = HangDetection(scoreboard, options)
        self._time_limits = TimeLimits(scoreboard, self._table)
        self._rolling_restart = RollingRestart(self._table, options.shutdown_timeout_s)
        self._reload = Reload(
            scoreboard, self._table, self._rolling_restart, callbacks.reload, callbacks.notify
        )
        self._status = status.StatusReport(
            scoreboard, self._table, callbacks.notify, callbacks.watchdog_s
        )
        self._hooks = hooks_process.SupervisorHooks(scoreboard, self._table)
        self._restart = Restart(callbacks.read)
        self._stop: Stop | None = None
        self._woken, self._interrupted, self._exit_status = True, False, 0

    def run(self) -> int:
        """Supervise; return the exit status of the whole program."""
        scoreboard = self._scoreboard
        scoreboard.supervisor_pid = os.getpid()
        scoreboard.supervisor_name = scoreboard.supervisor_name or new_name("supervisor")
        scoreboard.started_us = time.time_ns() // 1000
        scoreboard.started_ns = monotonic_ns()
        kernel.adopt_orphans()
        emit(self._scoreboard, "supervisor.started", processes=len(self._table.children))
        freeze()
        began = monotonic()
        self._supervise()
        if any(entry.outcomes_lost for entry in self._scoreboard.dead()):
            self._exit_status = self._exit_status or children.EXIT_OUTCOMES_LOST
        emit(
            self._scoreboard,
            "supervisor.stopped",
            exit_status=self._exit_status,
            duration=round(monotonic() - began, 3),
        )
        return self._exit_status

    @property
    def restarts(self) -> bool:
        """Whether the program is to be executed again, once `run` has returned."""
        return self._restart.wanted and not self._signals.wants_to_stop()

    def _supervise(self) -> None:
        """Poll until the tree has ended; an error of our own ends it, and is logged."""
        try:
            while not self.poll():
                readable = self._callbacks.requests.readable()
                self._woken = self._signals.wait(self._rest_s(), readable)
        except Exception as error:
            emit(self._scoreboard, "process.crashed", error=error)
            raise

    def poll(self) -> bool:
        """Do all due work; return whether the tree has ended."""
        self._scoreboard.tick()
        self._take_requests()
        self._stop_if_misconfigured(self._table.reap())
        self._oom_kills.count()
        now = monotonic()
        if self._stop is None:
            self._keep_up(now)
        elif self._has_stopped(self._stop, now):
            return True
        self._status.report(now)
        return False

    def _take_requests(self) -> None:
        """Act on the signals and on the requests of commands."""
        for number in self._signals.take():
            self._handle(number)
        for word, requester in self._callbacks.requests.take() if self._woken else ():
            self._take_request(word, requester)
        stopping = self._stop is not None
        self._restart.answer(ready=bool(self._scoreboard.ready), stopping=stopping)

    def _take_request(self, word: str, requester: Requester) -> None:
        """Act on the request of a command."""
        if word == "reload":
            requester.acknowledge(word)
            self._reload.request(requester, stopping=self._stop is not None)
        elif word == "ready":
            self._restart.wait(requester)
        elif word != "restart":
            requester.answer(EXIT_USAGE, f"error: this supervisor does not know {word!r}")
        elif self._stop is not None:
            self._restart.wait(requester)
        elif self._restart.request(requester):
            self._begin_stop()

    def _keep_up(self, now: float) -> None:
        """Keep the tree in its configured state."""
        self._hooks.start()
        self._hang_detection.kill_hung(self._table.processes.values())
        self._table.kill_overdue(now)
        self._time_limits.enforce(now)
        self._replace_leaving(now)
        self._recycle(now)
        self._reload.begin(now)
        self._rolling_restart.advance(now)
        self._reload.finish_if_done(now)
        self._table.fill(self._signals.wants_to_stop)

    def _has_stopped(self, stop: Stop, now: float) -> bool:
        """Advance the stop; return whether the tree has ended."""
        if stop.drains:
            self._hang_detection.kill_hung(self._table.processes.values())
            if self._table.processes or self._scoreboard.dead():
                self._table.fill(lambda: False, "monitor")
        if not stop.advance(now) or not self._hooks.over(now):
            return False
        stop.finish()
        return True

    def _replace_leaving(self, now: float) -> None:
        """Replace processes that stop without our request, and bound their time.

        Some were terminated from outside. Others have lost their rows, so other processes have
        their jobs.
        """
        kill_at = now + self._options.shutdown_timeout_s
        for child in self._table.children:
            process = child.process
            if process is not None and process.entry.row_lost:
                self._table.replace(child, "row", kill_at)
            elif process is not None and process.entry.leaving and not process.asked:
                child.backoff.note(process.entry.up_s)
                self._table.replace(child, "terminated", kill_at)

    def _recycle(self, now: float) -> None:
        """Plan a successor for each process that has asked for one."""
        for child in self._table.children:
            process = child.process
            wants = process is not None and not process.asked and process.entry.wants_recycling
            if wants and now >= child.backoff.due and not self._rolling_restart.covers(child):
                self._rolling_restart.plan([Step(child, child.spec, "recycled")])

    def _stop_if_misconfigured(self, exits: Iterable[children.ChildExit]) -> None:
        """Stop if a child has found a fault of the configuration at boot.

        Not if it had polled once: then a job may have chosen that exit status.
        """
        for exited in exits:
            process = exited.process
            at_boot = process.generation == 1 and not process.entry.up_s
            refused = exited.exit_status == children.EXIT_CONFIGURATION
            if refused and at_boot and not self._scoreboard.ready and self._stop is None:
                self._exit_status = children.EXIT_CONFIGURATION
                self._begin_stop()

    def _handle(self, number: signal.Signals) -> None:
        """Act on a signal. No change of the tree begins once it stops."""
        if number != signal.SIGCHLD:
            emit(self._scoreboard, "signal.received", signal=number.name)
        if number in {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}:
            self._restart.wanted = False
            again = number == signal.SIGINT and self._interrupted
            self._interrupted = self._interrupted or number == signal.SIGINT
            self._begin_stop(at_once=again or number == signal.SIGQUIT)
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number == signal.SIGUSR2:
            self._status.dump()
        elif self._stop is not None:
            return
        elif number == signal.SIGHUP:
            self._reload.request()
        elif number == signal.SIGTTIN:
            self._table.add_worker()
        elif number == signal.SIGTTOU:
            self._table.remove_worker()

    def _begin_stop(self, *, at_once: bool = False) -> None:
        now = monotonic()
        if self._stop is None:
            drain_s = 0.0 if at_once else self._options.shutdown_timeout_s
            extend_us = int((drain_s + END_S + self._hooks.last_s) * 1e6)
            self._callbacks.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={extend_us}")
            emit(self._scoreboard, "supervisor.stopping", at_once=at_once)
            self._stop = Stop(self._scoreboard, self._table, self._orphans)
            self._reload.abandon()
            if not at_once:
                self._hooks.stop()
                self._stop.begin(now, drain_s)
        if at_once:
            self._stop.hasten(now)

    def _reopen_logs(self) -> None:
        try:
            self._callbacks.reopen_logs()
            emit(self._scoreboard, "logs.reopened")
        except OSError as error:
            emit(self._scoreboard, "logs.unavailable", error=error)
        for process in self._table.processes.values():
            process.send(signal.SIGUSR1)

    def _rest_s(self) -> float:
        """Return the time until the next due work, unless a signal comes."""
        now = monotonic()
        dues = [
            self._table.next_due(now),
            self._status.next_due(),
            self._hang_detection.next_due,
            self._time_limits.next_due,
        ]
        if self._stop is not None:
            dues += [self._stop.next_due(), self._hooks.next_due()]
        else:
            dues += [self._reload.due or float("inf"), self._rolling_restart.next_due()]
        rests = [REST_MAX_S, self._options.hang_timeout_s / 4, self._table.boot_rest_s()]
        return max(0.0, min(*rests, *(due - now for due in dues)))
