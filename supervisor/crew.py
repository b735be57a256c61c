"""The table of places and processes: start, reap, replace.

Invariant: at every moment each place is filled, waits for its backoff to end, or waits
for a slot of the board; and each living process is in `living`, whether it has a place
or is leaving.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.instruments.logs import tell_last_words
from jobsd.processes.moments import WITH_MODULES
from jobsd.processes.registry import new_name

from .children import Child, Death, Place, predecessor
from .dump import Dump
from .telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.processes.board import Board
    from jobsd.processes.slot import Slot

    from .children import ChildSpec
    from .fork import Fork
    from .memory import MemoryKills

BOOT_REST_MIN_S = 0.01
BOOT_REST_MAX_S = 0.25

_REAPED_MAX = 1000
"""Dead processes taken in one round; a job may leave us any number of orphans."""


class Crew:
    """All processes below the supervisor."""

    def __init__(self, board: Board, fork: Fork, memory: MemoryKills) -> None:
        self.places: list[Place] = []
        self.living: dict[int, Child] = {}
        self._board = board
        self._fork = fork
        self._memory = memory
        self._full = False

    def add(self, specs: Iterable[ChildSpec]) -> None:
        """Make the places that the specs ask for."""
        self.places += [Place(spec) for spec in specs for _ in range(spec.count)]

    def of(self, *kinds: str) -> list[Child]:
        """Return the living processes of some kinds."""
        return [child for child in self.living.values() if child.spec.kind in kinds]

    def fill(self, interrupted: Callable[[], bool], *kinds: str) -> None:
        """Start a process in each place (of some kinds, or all) that is due for one."""
        for place in self.places:
            if place.child is None and (not kinds or place.spec.kind in kinds):
                if interrupted():
                    return
                if monotonic() >= place.backoff.due:
                    place.child = self.start(place, place.spec)
            self._tell_replaced(place)

    def start(self, place: Place, spec: ChildSpec) -> Child | None:
        """Start a process for a place; None when the system or the board has no room."""
        slot = self._slot(spec.kind)
        if slot is None:
            return None
        place.number = place.number or self._free_number(spec.kind)
        slot.take(spec.kind, new_name(spec.kind), place.number)
        dump = Dump(takes_output=spec.kind in WITH_MODULES)
        others = [fd for other in self.living.values() for fd in other.dump.private]
        try:
            pid = self._fork.start(spec, slot, dump, others)
        except OSError as error:
            slot.free()
            dump.close()
            wait_s = place.backoff.note(0.0)
            self._tell("process.fork_failed", kind=spec.kind, error=error, retry_in=wait_s)
            return None
        place.generation += 1
        child = Child(spec, slot, pid, place.generation, dump)
        self.living[pid] = child
        return child

    def replace(self, place: Place, reason: str, kill_at: float | None = None) -> None:
        """Tell the process in a place to end; another may move in at once.

        Not so the monitor: it is the only one that writes the slots' deaths, so a second
        one has to wait until the first has been reaped.
        """
        child = place.child
        if child is None or child.asked:
            return
        if child.spec.kind != "monitor":
            place.vacate({**predecessor(child), "reason": reason})
        child.dismiss(reason, kill_at)

    def retire(self, place: Place) -> None:
        """Give up a place; who is in it may take its time to end."""
        self.places.remove(place)
        for child in place.processes():
            child.dismiss("stop")

    def reap(self) -> list[Death]:
        """Bury the processes that have ended, and whatever orphans came to us."""
        deaths: list[Death] = []
        for _ in range(_REAPED_MAX):
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self.living.pop(pid, None)
            if child is None:
                self._tell("process.reaped", pid=pid, status=status)
            else:
                deaths.append(self._bury(child, status, usage.ru_maxrss))
        return deaths

    def kill_overdue(self, now: float) -> None:
        """Kill whoever was told to end and has had its time."""
        for child in self.living.values():
            if child.kill_at is not None and now >= child.kill_at:
                self._tell("process.killed", **child.facts(), reason=child.asked)
                child.kill()

    def boot_rest_s(self) -> float:
        """Return how soon to look at who boots: who begins to work sends no signal.

        Who began after it was looked at is looked at once more.
        """
        rests = [
            min(BOOT_REST_MAX_S, max(BOOT_REST_MIN_S, child.slot.age_s / 4))
            for child in self.living.values()
            if not child.seen_at_work
        ]
        for child in self.living.values():
            child.seen_at_work = child.at_work
        return min(rests, default=float("inf"))

    def next_due(self, now: float) -> float:
        """Return when there is something to do, if nothing happens before."""
        empty = (place.backoff.due for place in self.places if place.child is None)
        overdue = (c.kill_at for c in self.living.values() if c.kill_at is not None)
        return min((due for due in (*empty, *overdue) if due > now), default=float("inf"))

    def _bury(self, child: Child, status: int, rss_kib: int) -> Death:
        death = Death(child, self._reason(child, status), status, rss_kib)
        child.exit_status = death.exit_status
        child.slot.bury(status, death.reason, rss_kib)
        for thread, stack in child.dump.stacks():
            self._tell("process.dumped", **child.facts(), thread=thread, stack=stack)
        tell_last_words(child.dump.pipes, {**child.facts(), **_only(child.slot.only_job())})
        child.dump.close()
        if death.unasked:
            self._tell("process.exited", **child.facts(), **death.facts())
        for place in self.places:
            place.lose(death)
        return death

    def _reason(self, child: Child, status: int) -> str:
        """Return what the death is put down to: to us only if it ended as we wanted.

        A process that crashes while it drains has crashed.
        """
        if child.asked == "hung":
            return "hung"
        asked = child.asked or ("told" if child.slot.leaving else "")
        if os.WIFEXITED(status):
            well = not os.WEXITSTATUS(status) and not _was_cut_short(child)
            return asked if asked and well else "exit"
        number = os.WTERMSIG(status)
        ours = number == signal.SIGTERM or (child.killed and number == signal.SIGKILL)
        if child.asked and ours:
            return child.asked
        return "oom" if number == signal.SIGKILL and self._memory.explain() else "signal"

    def _free_number(self, kind: str) -> int:
        taken = {place.number for place in self.places if place.spec.kind == kind}
        return next(number for number in count(1) if number not in taken)

    def _slot(self, kind: str) -> Slot | None:
        """Return a slot to take, or None, told once, while deaths wait to be written.

        One is kept for the monitor, without which none would ever be free again; and if
        one monitor after the other dies, the next takes the slot of a dead one, which had
        no jobs.
        """
        slot = self._board.free_slot(spare=0 if kind == "monitor" else 1)
        if slot is None and kind == "monitor":
            dead = (slot for slot in self._board.dead() if slot.kind == "monitor")
            slot = max(dead, key=lambda slot: slot.died_s, default=None)
            if slot is not None:
                slot.free()
        if slot is None and not self._full:
            self._tell("process.unstarted", kind=kind, unwritten=len(self._board.dead()))
        self._full = slot is None or (self._full and kind == "monitor")
        return slot

    def _tell_replaced(self, place: Place) -> None:
        if place.child is None or place.vacated is None:
            return
        reason = place.vacated["reason"]
        self._board.count_restart(place.spec.kind, reason)
        self._tell("process.replaced", **place.child.facts(), **place.vacated)
        place.vacated = None

    def _tell(self, event: str, **facts: object) -> None:
        tell(self._board, event, **facts)


def _only(job_id: int | None) -> dict[str, int]:
    return {} if job_id is None else {"job_id": job_id}


def _was_cut_short(child: Child) -> bool:
    """Return whether a job has ended the process, which had been told to end its jobs.

    Who was told by QUIT leaves them where they are.
    """
    slot = child.slot
    ended = {(ending.job_id, ending.claim_id) for ending in slot.endings()}
    return child.asked_by != signal.SIGQUIT and bool(set(slot.running()) - ended)
