"""Crash recovery of dead processes: of their jobs, rows and scoreboard entries.

Claims and row are recovered in one transaction, and the events of the jobs are emitted once it
is committed (see `Commits`). The entry is freed last, so no job is forgotten if the monitor
dies half-way. Rows that a last statement of the dead process still holds locked are left for
the next poll, and the process's row with them.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from psycopg import errors

from jobsd.database.commits import Commits
from jobsd.database.connection import Session
from jobsd.database.portions import Portion
from jobsd.events.events import emit
from jobsd.jobs.policy import Ending
from jobsd.processes import outcome_journal, registry
from jobsd.processes.outcome_journal import JournalInUseError, journal_path, read_journal
from jobsd.scoreboard import counters
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.scoreboard.scoreboard import Scoreboard

from . import exit_errors, peers
from .claims import STATEMENTS, DeadProcess, Recovered, RecoveredJob, SeenHeartbeat, recover
from .journals import Settled, dead_process, keep_left, settle

REMEMBERED_MAX = 1000
THREADS_UNKNOWN = 3
"""How many jobs of a claim may have run if nothing is known of the process: a worker's default
number of threads."""

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

    The outcomes of their jobs are counted in the monitor's own entry.
    """

    def __init__(
        self,
        session: Session,
        entry: ScoreboardEntry,
        journals: Path | None = None,
        *,
        keep_finished: bool,
    ) -> None:
        """Recover with the journals of a folder, if any are kept."""
        self._session = session
        self._journals = journals
        self._refused: set[Path] = set()
        self.portion = Portion()
        """How much of a journal one statement records: less after one that was late."""
        self._entry = entry
        self._keep_finished = keep_finished
        # The processes that are dead for certain: if a claim of theirs is committed only now,
        # none of its jobs was started.
        self._dead: OrderedDict[int, None] = OrderedDict()
        self._commits = Commits(session)
        # The names of recovered and reported processes, until their entries are free.
        self._reported: set[str] = set()

    def recover(self, entry: ScoreboardEntry, *, orphaned: bool = False) -> bool:
        """Recover a process of this tree that has exited; return False to be called again.

        An `orphaned` one was not reaped, since its supervisor is gone: its entry is not freed.
        """
        # It may have died after its row was written and before its id was noted.
        row_id = entry.row_id or (0 if orphaned else registry.find(self._session, entry.name))
        dead = dead_worker(entry, row_id, orphaned=orphaned, keep=self._keep_finished)

        def report(recovered: Recovered) -> None:
            if recovered.complete:
                self._report(entry, row_id, dead.error["message"], _counts(recovered))

        # A process that was reported is recovered: only the answer to that was lost.
        if entry.name not in self._reported:
            if row_id and entry.kind == "worker":
                if not self._settle(dead, report, self._journals, known=True).complete:
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

        return self._settle(dead, report, peer.journals).complete

    def prune(self, peer: peers.PeerProcess, still_s: float) -> bool:
        """Recover a peer whose heartbeat has stopped.

        A peer that beats meanwhile is left alone, or finds its row gone.
        """
        dead = DeadProcess(
            peer.id,
            peer.name,
            exit_errors.pruned_error(peer, still_s),
            threads=peer.threads or THREADS_UNKNOWN,
            keep=self._keep_finished,
            seen=SeenHeartbeat(peer.heartbeat, still_s / 2),
        )

        def report(recovered: Recovered) -> None:
            if recovered.gone:
                self._entry.prunes += 1
                still = round(still_s, 3)
                emit("process.pruned", **_other(peer), duration=still, **_counts(recovered))

        journals = peer.journals if peer.is_of_this_boot else None
        recovered = self._settle(dead, report, journals)
        return recovered.complete or recovered.alive

    def take_claims(self, process_id: int, threads: int | None) -> None:
        """Recover the orphaned claims of a process without a row; `threads`: its capacity."""
        dead = DeadProcess(
            process_id,
            f"process {process_id}",
            exit_errors.missing_error(process_id),
            threads=threads or THREADS_UNKNOWN,
            release=self.is_dead(process_id),
            keep=self._keep_finished,
        )

        def report(recovered: Recovered) -> None:
            if any(_counts(recovered).values()):
                emit("claims.recovered", process_id=process_id, **_counts(recovered))

        self._settle(dead, report)

    def recover_journals(self, ours: Collection[str]) -> bool:
        """Recover the processes whose journals lie here, except those of our tree.

        Return False to be called again.
        """
        paths = [
            path
            for path in outcome_journal.journal_paths(self._journals)
            if path.stem not in ours
        ]
        recovered = [self._recover_journal(path) for path in paths]
        return all(recovered)

    def _recover_journal(self, path: Path) -> bool:
        try:
            contents = read_journal(path)
        except JournalInUseError:
            return True
        if contents is None:
            self._refuse(path)
            return True
        error = exit_errors.stopped_error(contents.process)
        dead = dead_process(contents, error, keep=self._keep_finished)

        def report(recovered: Recovered) -> None:
            counts = _counts(recovered)
            if recovered.complete:
                self._remember(dead.process_id)
            if recovered.gone or any(counts.values()):
                emit("process.recovered", process=dead.process, reason="stopped", **counts)

        return self._settle(dead, report, self._journals).complete

    def _refuse(self, path: Path) -> None:
        """Report once that a file is no journal of ours."""
        if path in self._refused or not path.exists():
            return
        self._refused.add(path)
        warning = f"{path} is not read: it is no file of this user's that only it can read"
        emit("configuration.warning", warning=warning)

    def report_committed(self) -> None:
        """Report recoveries that turn out to be committed, though their answers were lost."""
        self._commits.emit_committed()

    def is_dead(self, process_id: int) -> bool:
        """Return whether we have recovered this process and know that it is dead."""
        return process_id in self._dead

    def _report(
        self, entry: ScoreboardEntry, row_id: int, why: str, counts: dict[str, int]
    ) -> None:
        self._reported.add(entry.name)
        if row_id:
            self._remember(row_id)
        # A process that has stopped on request has reported that itself.
        if any(counts.values()) or not exit_errors.was_asked(entry):
            emit("process.recovered", **_child(entry), reason=entry.reason, cause=why, **counts)

    def _settle_outcomes(self, contents: outcome_journal.Contents) -> Settled:
        keep = self._keep_finished
        return settle(self._session, contents, self.portion, keep=keep)

    def _settle(
        self,
        dead: DeadProcess,
        report: Callable[[Recovered], None],
        journals: Path | None = None,
        *,
        known: bool = False,
    ) -> Recovered:
        """Recover the claims of a process, and remove its row with the last of them.

        Both are one transaction; the outcomes of its journal in this folder are recorded
        before. `known`: the caller knows its running jobs. Events follow the commit.
        """
        try:
            contents = journals and read_journal(journal_path(journals, dead.process))
            kept = contents and self._settle_outcomes(contents)
        except (JournalInUseError, errors.LockNotAvailable):
            return Recovered(complete=False)
        if contents and not known:
            of_journal = dead_process(contents, dead.error, keep=self._keep_finished)
            dead = replace(of_journal, process_id=dead.process_id, seen=dead.seen)
        with self._commits.commit() as commit:
            recovered = recover(self._session, dead)
            if recovered.complete:
                recovered.gone = registry.remove(self._session, dead.process_id)

            def emit_all() -> None:
                if kept and recovered.complete and kept.delete():
                    kept.add_to(recovered)
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


def keep_dead(scoreboard: Scoreboard, folder: Path) -> None:
    """Write the facts about dead workers of an ending tree to journals; report lost ones.

    Sends no statement. If a process is recovered after all, its journal is deleted.
    """
    for entry in scoreboard.dead():
        if entry.kind != "worker" or not entry.row_id:
            continue
        dead = dead_worker(entry, entry.row_id, orphaned=False, keep=True)
        error = keep_left(folder, dead)
        if error is None or journal_path(folder, dead.process).exists():
            continue
        if not (entry.outcomes_lost or scoreboard.database_answers):
            lost = {"finished": dead.succeeded, "released": dead.running}
            ids = {outcome: [each.job_id for each in jobs] for outcome, jobs in lost.items()}
            for ending in dead.endings:
                ids.setdefault(ending.outcome, []).append(ending.job_id)
            emit("outcomes.lost", process=dead.process, outcomes=ids, error=error)
        entry.outcomes_lost = 1


def dead_worker(
    entry: ScoreboardEntry, row_id: int, *, orphaned: bool, keep: bool
) -> DeadProcess:
    """Return the facts of a scoreboard entry about its dead worker."""
    error = exit_errors.orphan_error(entry) if orphaned else exit_errors.exit_error(entry)
    return DeadProcess(
        row_id,
        entry.name,
        error,
        running=entry.running(),
        ages_s=entry.ages_s(),
        succeeded=entry.succeeded(),
        endings=_endings(entry),
        release=not orphaned and exit_errors.was_asked(entry),
        keep=keep,
    )


def _endings(entry: ScoreboardEntry) -> list[Ending]:
    """Return the outcomes of jobs that had ended, and of overdue jobs."""
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
    """Return the facts of a job; its attempt is the one that ran or was due, as for workers."""
    attempt = job.attempt
    if attempt is not None and outcome in {"snoozed", "released"}:
        attempt += 1
    more: dict[str, Any] = {} if job.error is None else {"error": job.error}
    if job.reason is not None:
        more["reason"] = job.reason
    if job.duration is not None:
        more["duration"] = job.duration
    if outcome == "finished" and job.created_at is not None:
        more["created_at"] = job.created_at.astimezone(UTC).isoformat()
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": attempt,
        **more,
    }


def _counts(recovered: Recovered) -> dict[str, int]:
    return {outcome: len(getattr(recovered, outcome)) for outcome in _EVENTS}
