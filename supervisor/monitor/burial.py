"""Clears up after the dead: their jobs, their rows, their slots.

Claims and row go in one transaction, since what became of the jobs is told once it is
committed (see `commits`), and the slot is given back last: so nothing is forgotten if it ends
half-way. Whatever is still locked by a last statement of the dead is left for the next turn,
and the row with it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from jobsd.instruments.events import emit
from jobsd.jobs.burial import Buried, Death, Standing, bury
from jobsd.processes import registry

from . import cause_of_death as cause
from .commits import Commits
from .look import find

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session
    from jobsd.jobs.burial import BuriedJob
    from jobsd.processes.slot import Slot

    from .look import Stranger

REMEMBERED_MAX = 1000
THREADS_UNKNOWN = 3
"""How many jobs of a claim may have run when nothing is known of the process: as many as
a worker has threads unless it is told otherwise."""

_EVENTS = {
    "finished": "job.finished",
    "failed": "job.failed",
    "retried": "job.retried",
    "discarded": "job.discarded",
    "snoozed": "job.snoozed",
    "released": "job.released",
}


class Burial:
    """Buries for one monitor; what becomes of jobs is counted in the monitor's own slot."""

    def __init__(self, session: Session, slot: Slot, *, keep_finished: bool) -> None:
        self._session = session
        self._slot = slot
        self._keep_finished = keep_finished
        # Those that are dead for certain: a claim of theirs that is committed only now was
        # never started.
        self._dead: OrderedDict[int, None] = OrderedDict()
        self._commits = Commits(session)
        # Names of those that are buried and told of, while their slots are not free.
        self._told: set[str] = set()

    def bury(self, slot: Slot) -> bool:
        """Bury a process of this tree that was reaped; return False to be called again."""
        # It may have died between the writing of its row and the noting of its id.
        row_id = slot.row_id or find(self._session, slot.name)
        release = cause.was_asked(slot)
        error = cause.exit_error(slot)
        if not self._bury_slot(slot, row_id, error, release=release):
            return False
        self._told.discard(slot.name)
        slot.free()
        return True

    def bury_orphan(self, slot: Slot) -> bool:
        """Bury a process of this tree that nobody can reap: its supervisor is gone."""
        error = cause.orphan_error(slot)
        return self._bury_slot(slot, slot.row_id, error, release=False)

    def bury_vanished(self, stranger: Stranger) -> bool:
        """Bury a process of this machine that is gone, as its whole tree may be."""
        death = Death(
            stranger.id,
            stranger.name,
            cause.vanished_error(stranger),
            threads=stranger.threads or THREADS_UNKNOWN,
            # Already buried: its row stayed for a claim that came after that.
            release=self.is_dead(stranger.id),
            keep=self._keep_finished,
        )

        def tell(buried: Buried) -> None:
            counts = _counts(buried)
            if buried.gone and (any(counts.values()) or not self.is_dead(stranger.id)):
                emit("process.buried", **_other(stranger), reason="vanished", **counts)
            if buried.gone:
                self._remember(stranger.id)

        return self._settle(death, tell).complete

    def prune(self, stranger: Stranger, still_s: float) -> bool:
        """Bury a process that gives no sign of life; it may live, and find its row gone.

        One that gives a sign meanwhile either finds it gone, or is left alone.
        """
        death = Death(
            stranger.id,
            stranger.name,
            cause.pruned_error(stranger, still_s),
            threads=stranger.threads or THREADS_UNKNOWN,
            keep=self._keep_finished,
            standing=Standing(stranger.heartbeat, still_s / 2),
        )

        def tell(buried: Buried) -> None:
            if buried.gone:
                still = round(still_s, 3)
                emit("process.pruned", **_other(stranger), duration=still, **_counts(buried))

        buried = self._settle(death, tell)
        return buried.complete or buried.alive

    def take_claims(self, process_id: int, threads: int) -> None:
        """Settle the claims of a process without a row."""
        death = Death(
            process_id,
            f"process {process_id}",
            cause.missing_error(process_id),
            threads=threads or THREADS_UNKNOWN,
            release=self.is_dead(process_id),
            keep=self._keep_finished,
        )

        def tell(buried: Buried) -> None:
            if any(_counts(buried).values()):
                emit("claims.taken", process_id=process_id, **_counts(buried))

        self._settle(death, tell)

    def catch_up(self) -> None:
        """Tell of burials that turn out to be committed, though their answers were lost."""
        self._commits.catch_up()

    def is_dead(self, process_id: int) -> bool:
        """Return whether we have buried this process and know that it is dead."""
        return process_id in self._dead

    def _bury_slot(
        self, slot: Slot, row_id: int, error: dict[str, Any], *, release: bool
    ) -> bool:
        if slot.name in self._told:
            # The answer to that was lost.
            return True

        def tell(buried: Buried) -> None:
            if buried.complete:
                self._tell_of(slot, row_id, error["message"], _counts(buried))

        if not row_id or slot.kind != "worker":
            if row_id:
                registry.remove(self._session, row_id)
            tell(Buried())
            return True
        death = Death(
            row_id,
            slot.name,
            error,
            running=slot.running(),
            succeeded=slot.succeeded(),
            endings=slot.endings(),
            release=release,
            keep=self._keep_finished,
        )
        return self._settle(death, tell).complete

    def _tell_of(self, slot: Slot, row_id: int, why: str, counts: dict[str, int]) -> None:
        self._told.add(slot.name)
        if row_id:
            self._remember(row_id)
        # Who has ended as it was asked to has said so itself.
        if any(counts.values()) or not cause.was_asked(slot):
            emit("process.buried", **_child(slot), reason=slot.reason, cause=why, **counts)

    def _settle(self, death: Death, tell: Callable[[Buried], None]) -> Buried:
        """Settle the claims of a process, and remove its row with the last of them.

        Both are one transaction, told of once it is committed: the jobs first.
        """
        with self._commits.commit(death.process_id) as commit:
            buried = bury(self._session, death)
            if buried.complete:
                buried.gone = registry.remove(self._session, death.process_id)

            def tell_all() -> None:
                self._tell(buried)
                tell(buried)

            commit.complete, commit.tell = buried.complete, tell_all
        return buried

    def _tell(self, buried: Buried) -> None:
        for outcome, event in _EVENTS.items():
            jobs: list[BuriedJob] = getattr(buried, outcome)
            for job in jobs:
                if outcome != "snoozed":
                    self._slot.queue(job.queue_name).count(outcome)
                emit(event, **_job_facts(job, outcome))

    def _remember(self, row_id: int) -> None:
        self._dead[row_id] = None
        while len(self._dead) > REMEMBERED_MAX:
            self._dead.popitem(last=False)


def _child(slot: Slot) -> dict[str, Any]:
    return {"kind": slot.kind, "child": slot.name, "child_pid": slot.pid}


def _other(stranger: Stranger) -> dict[str, Any]:
    return {
        "kind": stranger.kind,
        "process": stranger.name,
        "process_pid": stranger.pid,
        "process_host": stranger.hostname,
    }


def _job_facts(job: BuriedJob, outcome: str) -> dict[str, Any]:
    """Return the facts; the attempt is the one that it was or was to be, as for workers."""
    attempt = job.attempt
    if attempt is not None and outcome in {"snoozed", "released"}:
        attempt += 1
    error = {} if job.error is None else {"error": job.error}
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": attempt,
        **error,
    }


def _counts(buried: Buried) -> dict[str, int]:
    return {outcome: len(getattr(buried, outcome)) for outcome in _EVENTS}
