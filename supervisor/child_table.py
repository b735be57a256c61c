"""The child table: the tree's children and their processes, started, reaped and replaced.

Invariant: at any time each child has a process, waits for its backoff to end, or waits for a
scoreboard entry; and each process that was not reaped is in `processes`, whether it belongs to
a child or is stopping.
"""

import os
import signal
from collections.abc import Callable, Iterable
from itertools import count

from jobsd.clock import monotonic
from jobsd.logs.logs import log_unread_output
from jobsd.processes import lifecycle_hooks, registry
from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry

from . import oom, overdue_stack, stack_dump
from .children import Child, ChildExit, ChildProcess, ChildSpec, predecessor
from .events import emit
from .fork import Fork

BOOT_REST_MIN_S = 0.01
BOOT_REST_MAX_S = 0.25

_REAPED_MAX = 1000
"""Processes reaped in one iteration: jobs may leave us any number of orphans."""


class ChildTable:
    """All children of the supervisor, and their processes."""

    def __init__(self, scoreboard: Scoreboard, fork: Fork, oom_kills: oom.OomKills) -> None:
        self.children: list[Child] = []
        self.processes: dict[int, ChildProcess] = {}
        self._scoreboard = scoreboard
        self._fork = fork
        self._oom_kills = oom_kills
        self._full = False

    def add(self, specs: Iterable[ChildSpec]) -> None:
        """Add the children that the specs ask for."""
        self.children += [Child(spec) for spec in specs for _ in range(spec.count)]

    def of(self, *kinds: str) -> list[ChildProcess]:
        """Return the processes of these kinds that were not reaped."""
        return [process for process in self.processes.values() if process.spec.kind in kinds]

    def fill(self, interrupted: Callable[[], bool], *kinds: str) -> None:
        """Start a process for each child (of these kinds, or all) that is due for one."""
        for child in self.children:
            if child.process is None and (not kinds or child.spec.kind in kinds):
                if interrupted():
                    return
                if monotonic() >= child.backoff.due:
                    child.process = self.start(child, child.spec)
            self._report_replaced(child)

    def start(self, child: Child, spec: ChildSpec) -> ChildProcess | None:
        """Start a process for a child; None if the system or the scoreboard has no room."""
        entry = self._entry(spec.kind)
        if entry is None:
            return None
        child.number = child.number or self._free_number(spec.kind)
        entry.take(spec.kind, registry.new_name(spec.kind), child.number)
        dump = stack_dump.StackDump(takes_output=spec.kind in lifecycle_hooks.WITH_MODULES)
        others = [fd for other in self.processes.values() for fd in other.dump.private]
        try:
            pid = self._fork.start(spec, entry, dump, others)
        except OSError as error:
            entry.free()
            dump.close()
            wait_s = child.backoff.note(0.0)
            emit(
                self._scoreboard,
                "process.fork_failed",
                kind=spec.kind,
                error=error,
                retry_in=wait_s,
            )
            return None
        child.generation += 1
        process = ChildProcess(spec, entry, pid, child.generation, dump)
        self.processes[pid] = process
        return process

    def replace(self, child: Child, reason: str, kill_at: float | None = None) -> None:
        """Ask the process of a child to stop; the child may get another one at once.

        The monitor is an exception: only one may recover dead processes, so the next one is
        started when the first has been reaped.
        """
        process = child.process
        if process is None or process.asked:
            return
        if process.spec.kind != "monitor":
            child.vacate({**predecessor(process), "reason": reason})
        process.dismiss(reason, kill_at)

    def retire(self, child: Child) -> None:
        """Remove a child; its processes may take as long as they need to stop."""
        self.children.remove(child)
        for process in child.processes():
            process.dismiss("stop")

    def reap(self) -> list[ChildExit]:
        """Reap the processes that have exited, and orphans; wake the monitor for recovery."""
        exits: list[ChildExit] = []
        for _ in range(_REAPED_MAX):
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            process = self.processes.pop(pid, None)
            if process is None:
                emit(self._scoreboard, "process.reaped", pid=pid, status=status)
            else:
                exits.append(self._record_exit(process, status, usage.ru_maxrss))
        for monitor in self.of("monitor") if exits else ():
            # Their jobs must be recovered now, and not at the next poll of the monitor.
            monitor.send(signal.SIGUSR2)
        return exits

    def add_worker(self) -> None:
        """Add a worker like the first one, until the next reload (TTIN)."""
        first = next((child for child in self.children if child.spec.kind == "worker"), None)
        if first is not None:
            self.children.append(Child(first.spec))

    def remove_worker(self) -> None:
        """Remove the youngest worker that is not the last one of its queues (TTOU)."""
        workers = [child for child in self.children if child.spec.kind == "worker"]
        for child in reversed(workers):
            if sum(other.spec.label == child.spec.label for other in workers) > 1:
                self.retire(child)
                return

    def kill_overdue(self, now: float) -> None:
        """Kill the processes that were asked to stop and have had their time."""
        for process in self.processes.values():
            if process.kill_at is not None and now >= process.kill_at:
                emit(
                    self._scoreboard, "process.killed", **process.facts(), reason=process.asked
                )
                process.kill()

    def boot_rest_s(self) -> float:
        """Return the seconds to the next check of booting processes: they send no signal.

        A process that has begun to work since the last check is checked once more.
        """
        rests = [
            min(BOOT_REST_MAX_S, max(BOOT_REST_MIN_S, process.entry.age_s / 4))
            for process in self.processes.values()
            if not process.seen_at_work
        ]
        for process in self.processes.values():
            process.seen_at_work = process.at_work
        return min(rests, default=float("inf"))

    def next_due(self, now: float) -> float:
        """Return when a child is to be started, or a process to be killed, at the latest."""
        empty = (child.backoff.due for child in self.children if child.process is None)
        overdue = (c.kill_at for c in self.processes.values() if c.kill_at is not None)
        return min((due for due in (*empty, *overdue) if due > now), default=float("inf"))

    def _record_exit(self, process: ChildProcess, status: int, rss_kib: int) -> ChildExit:
        exited = ChildExit(process, self._reason(process, status), status, rss_kib)
        process.exit_status = exited.exit_status
        overdue_stack.note_stack(process)
        process.entry.record_exit(status, exited.reason, rss_kib)
        for thread, stack in process.dump.stacks():
            emit(
                self._scoreboard,
                "process.dumped",
                **process.facts(),
                thread=thread,
                stack=stack,
            )
        log_unread_output(
            process.dump.pipes, {**process.facts(), **_only(process.entry.only_job())}
        )
        process.dump.close()
        if exited.unasked:
            emit(self._scoreboard, "process.exited", **process.facts(), **exited.facts())
        for child in self.children:
            child.lose(exited)
        return exited

    def _reason(self, process: ChildProcess, status: int) -> str:
        """Return the reason of the exit: ours only if the process has stopped as we had asked.

        A process that crashes while it drains has crashed.
        """
        if process.asked == "hung":
            return "hung"
        asked = process.asked or ("terminated" if process.entry.leaving else "")
        if os.WIFEXITED(status):
            well = not os.WEXITSTATUS(status) and not _was_cut_short(process)
            return asked if asked and well else "exit"
        number = os.WTERMSIG(status)
        # It kills itself when it has no other jobs left.
        kills = process.killed or process.asked == "timeout"
        ours = number == signal.SIGTERM or (kills and number == signal.SIGKILL)
        ours = ours or (process.asked == "timeout" and number == process.asked_by)
        if process.asked and ours:
            return process.asked
        return "oom" if number == signal.SIGKILL and self._oom_kills.explain() else "signal"

    def _free_number(self, kind: str) -> int:
        taken = {child.number for child in self.children if child.spec.kind == kind}
        return next(number for number in count(1) if number not in taken)

    def _entry(self, kind: str) -> ScoreboardEntry | None:
        """Return a free entry, or None until a dead process was recovered; report that once.

        One entry is kept for the monitor, because without a monitor no entry would ever become
        free again. If monitors die one after the other, the next one takes the entry of a dead
        one, which had no jobs.
        """
        entry = self._scoreboard.free_entry(spare=0 if kind == "monitor" else 1)
        if entry is None and kind == "monitor":
            dead = (entry for entry in self._scoreboard.dead() if entry.kind == "monitor")
            entry = max(dead, key=lambda entry: entry.died_s, default=None)
            if entry is not None:
                entry.free()
        if entry is None and not self._full:
            emit(
                self._scoreboard,
                "process.start_deferred",
                kind=kind,
                unrecovered=len(self._scoreboard.dead()),
            )
        self._full = entry is None or (self._full and kind == "monitor")
        return entry

    def _report_replaced(self, child: Child) -> None:
        if child.process is None or child.vacated is None:
            return
        reason = child.vacated["reason"]
        self._scoreboard.count_restart(child.spec.kind, reason)
        emit(self._scoreboard, "process.replaced", **child.process.facts(), **child.vacated)
        child.vacated = None


def _only(job_id: int | None) -> dict[str, int]:
    return {} if job_id is None else {"job_id": job_id}


def _was_cut_short(process: ChildProcess) -> bool:
    """Return whether a job has ended the process, which was asked to drain.

    A process that was stopped by QUIT abandons its jobs.
    """
    entry = process.entry
    ended = {(ending.job_id, ending.claim_id) for ending in entry.endings()}
    return process.asked_by != signal.SIGQUIT and bool(set(entry.running()) - ended)
