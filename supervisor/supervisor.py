"""Keeps the other processes alive: forks them, watches them, replaces them, ends them.

One thread, no database, no HTTP, nothing that could wait for anybody: with a query in
this loop a frozen server stopped it for 7.6 s of 8; with the query in a child the worst
delay was 0.10 s. It reads the slots' ticks, reaps, and listens to signals. What belongs
together lies beside: who there is (`crew`), who hangs (`watch`), who follows whom
(`succession`, `reload`), how it ends (`stopping`), what is told (`report`).

A round: signals, deaths, then either the stop or, in this order, hung processes, lost
rows and worn-out processes, a reload, successions, empty places. Then it rests for up to
a second; a signal ends the rest.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic, monotonic_ns
from jobsd.processes.registry import new_name

from .children import EXIT_CONFIGURATION
from .crew import Crew
from .fork import Fork, freeze
from .kernel import adopt_orphans
from .memory import MemoryKills
from .own_moments import OwnMoments
from .reload import Reload
from .report import Report
from .requests import Requests
from .scale import add_worker, remove_worker
from .signals import Signals
from .stopping import Stop
from .strangers import Strangers
from .succession import Step, Succession
from .telling import tell
from .watch import Watch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from jobsd.configuration.options import SupervisorOptions
    from jobsd.processes.board import Board

    from .children import ChildSpec, Death

REST_MAX_S = 1.0
END_S = 5.0
"""What an end may take beside the drain: the monitor leaves last, then an embedded server."""


def _nothing(*_: Any) -> None:  # noqa: ANN401 - takes whatever it is given
    return None


@dataclass(frozen=True, slots=True)
class Errands:
    """What the supervisor has done by others.

    `reload` returns the new specs, or None or an error to keep the old ones. `notify`
    sends lines to systemd, which wants a sign of life every `watchdog_s`. `requests` are
    those of commands.
    """

    reload: Callable[[], Sequence[ChildSpec] | None] = _nothing
    reopen_logs: Callable[[], None] = _nothing
    notify: Callable[[str], None] = _nothing
    watchdog_s: float | None = None
    requests: Requests = field(default_factory=Requests)


class Supervisor:
    """Runs the processes that the specs ask for until it is told to stop.

    `private` are descriptors that no child may hold, as the lock on the pidfile;
    `listener` stays open in the monitor only. Made and run in the main thread of a
    process that has no other thread.
    """

    def __init__(  # noqa: PLR0913 - what only assembly can know
        self,
        specs: Sequence[ChildSpec],
        options: SupervisorOptions,
        board: Board,
        *,
        errands: Errands | None = None,
        listener: socket.socket | None = None,
        private: Sequence[int] = (),
    ) -> None:
        errands = errands or Errands()
        self._options = options
        self._board = board
        board.thresholds = options.thresholds
        self._errands = errands
        self._signals = Signals()
        self._strangers = Strangers()
        self._memory = MemoryKills()
        descriptors = (*private, *([self._memory.fd] if self._memory.fd is not None else []))
        # A loop that has nothing to do must not look as if it stood still, to us or to others.
        nap_max_s = min(options.hang_timeout_s, options.process_alive_threshold_s) / 4
        fork = Fork(
            board,
            self._signals,
            listener,
            lambda: (*descriptors, *errands.requests.descriptors()),
            nap_max_s,
        )
        self._crew = Crew(board, fork, self._memory)
        self._crew.add(specs)
        self._watch = Watch(board, options)
        self._succession = Succession(self._crew, options.shutdown_timeout_s)
        self._reload = Reload(
            board, self._crew, self._succession, errands.reload, errands.notify
        )
        self._report = Report(board, self._crew, errands.notify, errands.watchdog_s)
        self._moments = OwnMoments(board, self._crew)
        self._stop: Stop | None = None
        self._interrupted = False
        self._exit_status = 0

    def run(self) -> int:
        """Supervise; return the exit status of the whole program."""
        board = self._board
        board.supervisor_pid = os.getpid()
        board.supervisor_name = board.supervisor_name or new_name("supervisor")
        board.started_us = time.time_ns() // 1000
        board.started_ns = monotonic_ns()
        adopt_orphans()
        self._tell("supervisor.started", processes=len(self._crew.places))
        freeze()
        began = monotonic()
        self._supervise()
        self._tell(
            "supervisor.stopped",
            exit_status=self._exit_status,
            duration=round(monotonic() - began, 3),
        )
        return self._exit_status

    def _supervise(self) -> None:
        """Do round after round; an error of ours ends all, and the log has its stack."""
        try:
            while not self._round():
                self._signals.wait(self._rest_s(), self._errands.requests.readable())
        except Exception as error:
            self._tell("process.crashed", error=error)
            raise

    def _round(self) -> bool:
        """Do all that is to be done now; return whether the tree has ended."""
        self._board.tick()
        for number in self._signals.take():
            self._hear(number)
        self._reload.hear(self._errands.requests.take(), stopping=self._stop is not None)
        self._reap()
        self._memory.look()
        now = monotonic()
        if self._stop is None:
            self._tend(now)
        elif self._end(self._stop, now):
            return True
        self._report.go_on(now)
        return False

    def _tend(self, now: float) -> None:
        """Keep the tree as it is to be."""
        self._moments.look()
        self._watch.look(self._crew.living.values())
        self._crew.kill_overdue(now)
        self._replace_the_leaving(now)
        self._replace_the_worn(now)
        self._reload.begin(now)
        self._succession.go_on(now)
        self._reload.look(now)
        self._crew.fill(self._signals.wants_to_stop)

    def _end(self, stop: Stop, now: float) -> bool:
        """Go on with the stop; return whether it is over."""
        if stop.drains:
            self._watch.look(self._crew.living.values())
            if self._crew.living or self._board.dead():
                self._crew.fill(lambda: False, "monitor")
        if not stop.go_on(now) or not self._moments.over(now):
            return False
        stop.finish()
        return True

    def _replace_the_leaving(self, now: float) -> None:
        """Bound the time of processes that leave, and let others move in at once.

        Some were told to by somebody else. Others have lost their rows: what they had was
        given to others.
        """
        kill_at = now + self._options.shutdown_timeout_s
        for place in self._crew.places:
            child = place.child
            if child is not None and child.slot.row_lost:
                self._crew.replace(place, "row", kill_at)
            elif child is not None and child.slot.leaving and not child.asked:
                place.backoff.note(child.slot.up_s)
                self._crew.replace(place, "told", kill_at)

    def _replace_the_worn(self, now: float) -> None:
        """Plan a successor for each process that has asked for one."""
        for place in self._crew.places:
            child = place.child
            wants = child is not None and not child.asked and child.slot.wants_successor
            if wants and now >= place.backoff.due and not self._succession.covers(place):
                self._succession.plan([Step(place, place.spec, "recycled")])

    def _reap(self) -> None:
        deaths = self._crew.reap()
        for death in deaths:
            self._consider(death)
        if deaths:
            # What ran in the dead is to be settled now, not in the monitor's next round.
            for monitor in self._crew.of("monitor"):
                monitor.send(signal.SIGUSR2)

    def _consider(self, death: Death) -> None:
        """Stop if it was a fault of the configuration that a child has found at boot.

        Not if it had come round once: then a job may have chosen that exit status.
        """
        first = death.child.generation == 1 and not death.child.slot.up_s
        at_boot = first and not self._board.ready
        if death.exit_status == EXIT_CONFIGURATION and at_boot and self._stop is None:
            self._exit_status = EXIT_CONFIGURATION
            self._begin_stop()

    def _hear(self, number: signal.Signals) -> None:
        if number != signal.SIGCHLD:
            self._tell("signal.received", signal=number.name)
        if number in {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}:
            again = number == signal.SIGINT and self._interrupted
            self._interrupted = self._interrupted or number == signal.SIGINT
            self._begin_stop(at_once=again or number == signal.SIGQUIT)
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number == signal.SIGUSR2:
            self._report.tell_state()
        elif self._stop is None:
            self._change(number)

    def _change(self, number: signal.Signals) -> None:
        """Let the tree become another, if that is what the signal asks for."""
        if number == signal.SIGHUP:
            self._reload.ask()
        elif number == signal.SIGTTIN:
            add_worker(self._crew)
        elif number == signal.SIGTTOU:
            remove_worker(self._crew)

    def _begin_stop(self, *, at_once: bool = False) -> None:
        now = monotonic()
        if self._stop is None:
            drain_s = 0.0 if at_once else self._options.shutdown_timeout_s
            extend_us = int((drain_s + END_S + self._moments.last_s) * 1e6)
            self._errands.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={extend_us}")
            self._tell("supervisor.stopping", at_once=at_once)
            self._stop = Stop(self._board, self._crew, self._strangers)
            self._reload.give_up()
            if not at_once:
                self._moments.stop()
                self._stop.begin(now, drain_s)
        if at_once:
            self._stop.hasten(now)

    def _reopen_logs(self) -> None:
        try:
            self._errands.reopen_logs()
            self._tell("logs.reopened")
        except Exception as error:  # noqa: BLE001 - somebody else's error
            self._tell("hook.failed", hook="reopen_logs", error=error)
        for child in self._crew.living.values():
            child.send(signal.SIGUSR1)

    def _rest_s(self) -> float:
        """Return how long nothing is to be done, unless a signal comes."""
        now = monotonic()
        dues = [self._crew.next_due(now), self._report.next_due(), self._watch.next_due]
        if self._stop is not None:
            dues += [self._stop.next_due(), self._moments.next_due()]
        else:
            dues += [self._reload.due or float("inf"), self._succession.next_due()]
        rests = [REST_MAX_S, self._options.hang_timeout_s / 4, self._crew.boot_rest_s()]
        return max(0.0, min(*rests, *(due - now for due in dues)))

    def _tell(self, event: str, **facts: Any) -> None:  # noqa: ANN401 - as `emit`
        tell(self._board, event, **facts)
