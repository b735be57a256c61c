"""Crash recovery: settles what dead processes leave: jobs, rows and scoreboard entries.

Claims and row are settled in one transaction, and the events of the jobs are emitted once it is
committed (see `Commits`). The entry is freed last, so nothing is forgotten if the monitor dies
half-way. What a last statement of the dead process still holds locked is left for the next
poll, and the row with it.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from jobsd.database.commits import Commits
from jobsd.database.connection import Session
from jobsd.instruments.events import emit
from jobsd.jobs.policy import Ending
from jobsd.processes import counters, registry
from jobsd.processes.entry import ScoreboardEntry

from . import exit_errors, peers
from .claims import STATEMENTS, DeadProcess, Recovered, RecoveredJob, SeenHeartbeat, recover

REMEMBERED_MAX = 1000
THREADS_UNKNOWN = 3
COROUTINES_UNKNOWN = 100
"""How many jobs of a claim may have run when nothing is known of the process: as many as
a worker has threads, and runs coroutines, by default."""

_EVENTS = {
    "finished": "job.finished",
    "failed": "job.failed",
    "retried": "job.retried",
    "discarded": "job.discarded",
    "snoozed": "job.snoozed",
    "released": "job.released",
}


class Recovery:
    """Recovers dead processes for one monitor.

    What becomes of their jobs is counted in the monitor's own entry.
    """

    def __init__(
        self, session: Session, entry: ScoreboardEntry, *, keep_finished: bool
    ) -> None:
        self._session = session
        self._entry = entry
        self._keep_finished = keep_finished
        # The processes that are dead for certain: if a claim of theirs is committed only now,
        # none of its jobs was started.
        self._dead: OrderedDict[int, None] = OrderedDict()
        self._commits = Commits(session)
        # The names of those that are recovered and reported, until their entries are free.
        self._reported: set[str] = set()

    def recover(self, entry: ScoreboardEntry, *, orphaned: bool = False) -> bool:
        """Recover a process of this tree that has exited; return False to be called again.

        An `orphaned` one was not reaped, since its supervisor is gone: its entry is not freed.
        """
        # It may have died between the writing of its row and the noting of its id.
        row_id = entry.row_id or (0 if orphaned else registry.find(self._session, entry.name))
        error = exit_errors.orphan_error(entry) if orphaned else exit_errors.exit_error(entry)

        def report(recovered: Recovered) -> None:
            if recovered.complete:
                self._report(entry, row_id, error["message"], _counts(recovered))

        # A process that was reported is settled: only the answer to that was lost.
        if entry.name not in self._reported:
            if row_id and entry.kind == "worker":
                release = not orphaned and exit_errors.was_asked(entry)
                dead = self._dead_worker(entry, row_id, error, release=release)
                if not self._settle(dead, report).complete:
                    return False
            else:
                if row_id:
                    registry.remove(self._session, row_id)
                report(Recovered())
        if not orphaned:
            self._reported.discard(entry.name)
            entry.free()
        return True

    def recover_vanished(self, peer: peers.PeerProcess) -> bool:
        """Recover a process of this machine that is gone, as its whole tree may be."""
        dead = DeadProcess(
            peer.id,
            peer.name,
            exit_errors.vanished_error(peer),
            threads=peer.threads or THREADS_UNKNOWN,
            coroutines=peer.coroutines,
            # It is recovered already: its row stayed for a claim that came after that.
            release=self.is_dead(peer.id),
            keep=self._keep_finished,
        )

        def report(recovered: Recovered) -> None:
            counts = _counts(recovered)
            if recovered.gone and (any(counts.values()) or not self.is_dead(peer.id)):
                emit("process.recovered", **_other(peer), reason="vanished", **counts)
            if recovered.gone:
                self._remember(peer.id)

        return self._settle(dead, report).complete

    def prune(self, peer: peers.PeerProcess, still_s: float) -> bool:
        """Recover a peer whose heartbeat has stopped; if it lives, it finds its row gone.

        One that beats meanwhile is left alone, or finds its row gone.
        """
        dead = DeadProcess(
            peer.id,
            peer.name,
            exit_errors.pruned_error(peer, still_s),
            threads=peer.threads or THREADS_UNKNOWN,
            coroutines=peer.coroutines,
            keep=self._keep_finished,
            seen=SeenHeartbeat(peer.heartbeat, still_s / 2),
        )

        def report(recovered: Recovered) -> None:
            if recovered.gone:
                self._entry.prunes += 1
                still = round(still_s, 3)
                emit("process.pruned", **_other(peer), duration=still, **_counts(recovered))

        recovered = self._settle(dead, report)
        return recovered.complete or recovered.alive

    def take_claims(self, process_id: int, ran: tuple[int, int] | None) -> None:
        """Settle the orphaned claims of a process without a row; `ran`: how much it could."""
        threads, coroutines = ran or (THREADS_UNKNOWN, COROUTINES_UNKNOWN)
        dead = DeadProcess(
            process_id,
            f"process {process_id}",
            exit_errors.missing_error(process_id),
            threads=threads or THREADS_UNKNOWN,
            coroutines=coroutines,
            release=self.is_dead(process_id),
            keep=self._keep_finished,
        )

        def report(recovered: Recovered) -> None:
            if any(_counts(recovered).values()):
                emit("claims.recovered", process_id=process_id, **_counts(recovered))

        self._settle(dead, report)

    def report_committed(self) -> None:
        """Report recoveries that turn out to be committed, though their answers were lost."""
        self._commits.emit_committed()

    def is_dead(self, process_id: int) -> bool:
        """Return whether we have recovered this process and know that it is dead."""
        return process_id in self._dead

    def _dead_worker(
        self, entry: ScoreboardEntry, row_id: int, error: dict[str, Any], *, release: bool
    ) -> DeadProcess:
        return DeadProcess(
            row_id,
            entry.name,
            error,
            running=entry.running(),
            ages_s=entry.ages_s(),
            succeeded=entry.succeeded(),
            endings=_endings(entry),
            release=release,
            keep=self._keep_finished,
        )

    def _report(
        self, entry: ScoreboardEntry, row_id: int, why: str, counts: dict[str, int]
    ) -> None:
        self._reported.add(entry.name)
        if row_id:
            self._remember(row_id)
        # A process that has stopped as it was asked to has reported that itself.
        if any(counts.values()) or not exit_errors.was_asked(entry):
            emit("process.recovered", **_child(entry), reason=entry.reason, cause=why, **counts)

    def _settle(self, dead: DeadProcess, report: Callable[[Recovered], None]) -> Recovered:
        """Settle the claims of a process, and remove its row with the last of them.

        Both are one transaction. Its events are emitted once it is committed: first those of
        the jobs, then what `report` emits.
        """
        with self._commits.commit() as commit:
            recovered = recover(self._session, dead)
            if recovered.complete:
                recovered.gone = registry.remove(self._session, dead.process_id)

            def emit_all() -> None:
                for outcome, event in _EVENTS.items():
                    jobs: list[RecoveredJob] = getattr(recovered, outcome)
                    for job in jobs:
                        self._count(job, outcome)
                        emit(event, **_job_facts(job, outcome))
                report(recovered)

            commit.emit = emit_all
            if recovered.complete:
                commit.proof = STATEMENTS["settled"], {"process_id": dead.process_id}
        return recovered

    def _count(self, job: RecoveredJob, outcome: str) -> None:
        of_queue = self._entry.queue(job.queue_name)
        if outcome != "snoozed":
            of_queue.count(outcome)
            if job.class_name:
                self._entry.job_class(job.class_name).count(outcome)
        if job.error is not None:
            if outcome in counters.FAILURES:
                self._entry.count_failure(str(job.error.get("type", "")), outcome)
            if "kill_after" in job.error:
                of_queue.count("timed_out_hard")
        if job.reason == "cancelled":
            of_queue.count("cancelled")

    def _remember(self, row_id: int) -> None:
        self._dead[row_id] = None
        while len(self._dead) > REMEMBERED_MAX:
            self._dead.popitem(last=False)


def _endings(entry: ScoreboardEntry) -> list[Ending]:
    """Return what jobs are to become: those that had ended, and those that were overdue."""
    overdue = [
        Ending(*each.job, each.outcome, each.wait_s, "", exit_errors.overdue_error(each, entry))
        for each in entry.overdue(entry.died_ns)
    ]
    return [*entry.endings(), *overdue]


def _child(entry: ScoreboardEntry) -> dict[str, Any]:
    return {"kind": entry.kind, "child": entry.name, "child_pid": entry.pid}


def _other(peer: peers.PeerProcess) -> dict[str, Any]:
    return {
        "kind": peer.kind,
        "process": peer.name,
        "process_pid": peer.pid,
        "process_host": peer.hostname,
    }


def _job_facts(job: RecoveredJob, outcome: str) -> dict[str, Any]:
    """Return the facts; the attempt is the one that it was or was to be, as for workers."""
    attempt = job.attempt
    if attempt is not None and outcome in {"snoozed", "released"}:
        attempt += 1
    more: dict[str, Any] = {} if job.error is None else {"error": job.error}
    if job.reason is not None:
        more["reason"] = job.reason
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": attempt,
        **more,
    }


def _counts(recovered: Recovered) -> dict[str, int]:
    return {outcome: len(getattr(recovered, outcome)) for outcome in _EVENTS}
