"""Recovers the journals of dead processes, and writes the scoreboard's facts into them.

The outcomes are recorded by the statements by which a worker records them, fenced by their
claims, a few at a time. Then the rest of the claims is recovered, and the journal is deleted
once that is committed. The monitor that has deleted it emits the outcomes: so they are emitted
once, even if two monitors read the same journal, or one dies and the next begins again.

An outcome without its claim was recorded by the process itself, without an answer, or by a
monitor that did not come to the end; the tables show that. Otherwise another host was sooner:
it had considered the process dead, and the outcome that it has recorded stands. Of a job whose
row is deleted, the tables show neither: nothing is reported.
"""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import errors

from jobsd.clock import moment_of
from jobsd.database.connection import Session, Statements
from jobsd.database.portions import Portion, is_late
from jobsd.events.events import emit
from jobsd.jobs import policy
from jobsd.processes.outcome_journal import Contents, Journal, KeptOutcome, Record, journal_path
from jobsd.states import claims, results
from jobsd.states.reconciliation import Sent, recorded

from .claims import STATEMENTS as RECOVERY
from .claims import DeadProcess, Recovered, RecoveredJob

STATEMENTS = Statements("jobsd.supervisor.recovery", "journals.sql")

BATCH_MAX = 1000
"""The maximum number of outcomes in one statement; `Portion` limits their size."""

_STATES = {
    "finished": "finished",
    "failed": "failed",
    "discarded": "discarded",
    "expired": "discarded",
}
_SUPERSEDED = "another process had recovered their claims before"
Key = tuple[int, int]
How = Literal["recorded", "cancelled", "completed"]


@dataclass(slots=True)
class Settled:
    """The outcomes of one journal that are in the tables, and the others."""

    path: Path
    jobs: dict[str, list[RecoveredJob]] = field(default_factory=dict[str, list[RecoveredJob]])
    lost: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    why: str = _SUPERSEDED

    def delete(self) -> bool:
        """Delete the journal; return whether its outcomes are ours to emit: it was there."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def add_to(self, recovered: Recovered) -> None:
        """Add the outcomes to those of a recovery, and report lost ones."""
        for outcome, jobs in self.jobs.items():
            getattr(recovered, outcome).extend(jobs)
        if self.lost:
            emit("outcomes.lost", process=self.path.stem, outcomes=self.lost, error=self.why)


def settle(session: Session, contents: Contents, portion: Portion, *, keep: bool) -> Settled:
    """Record the outcomes of a journal that still have their claims.

    Raises:
        psycopg.errors.LockNotAvailable: if a row is locked; the next call continues.
    """
    ours: dict[Key, How] = {}
    settled = Settled(contents.path)
    for batch in _batches(contents.outcomes, portion):
        try:
            ours |= _record(session, contents.process, batch, keep=keep)
        except errors.DataError as error:
            # Damage that the checksum has not shown. No other try would fare better.
            settled.why = str(error)
        except psycopg.Error as error:
            if is_late(error):
                portion.was_late(sum(map(_size, batch)))
            raise
    others = [each for each in contents.outcomes if _key(each) not in ours]
    if others:
        sent = [_sent(each, contents.process_id) for each in others]
        found = recorded(session, sent, contents.process, keep=keep)
        ours |= {key: "cancelled" if stopped else "recorded" for key, stopped in found.items()}
    present = _present(session, [each.job_id for each in others if _key(each) not in ours])
    for each in contents.outcomes:
        if _key(each) in ours:
            outcome, job = _recovered(each, ours[_key(each)])
            settled.jobs.setdefault(outcome, []).append(job)
        elif not each.completes and (keep or each.job_id in present):
            settled.lost.setdefault(each.outcome, []).append(each.job_id)
    return settled


def _present(session: Session, job_ids: list[int]) -> set[int]:
    rows = session.fetch(STATEMENTS["present"], {"job_ids": job_ids}) if job_ids else []
    return {job_id for (job_id,) in rows}


def _batches(
    outcomes: Sequence[KeptOutcome], portion: Portion
) -> Iterator[Sequence[KeptOutcome]]:
    rest = outcomes
    while rest:
        count = portion.fitting(map(_size, rest[:BATCH_MAX]))
        yield rest[:count]
        rest = rest[count:]


def _size(kept: KeptOutcome) -> int:
    return len(kept.error or "") + len(kept.result or "")


def _record(
    session: Session, process: str, batch: Sequence[KeptOutcome], *, keep: bool
) -> dict[Key, How]:
    """Record outcomes in one transaction; return ours, and how each came to be recorded."""
    with session.connection.transaction():
        session.fetch(RECOVERY["bounded"])
        claim_ids = sorted({each.claim_id for each in batch})
        rows = session.fetch(STATEMENTS["held"], {"claim_ids": claim_ids})
        held = {claim_id: set(job_ids) for claim_id, job_ids, _ in rows}
        completed = {(claim_id, job_id) for claim_id, *_, job_id in rows}
        ours: dict[Key, How] = {
            _key(each): "completed" for each in batch if _key(each) in completed
        }
        mine = [each for each in batch if each.job_id in held.get(each.claim_id, ())]
        if not mine:
            return ours
        _keep_results(session, process, mine)
        parameters = claims.conclusion(map(_ended, mine), process, keep=keep)
        ((_, stopped, *_),) = session.fetch(claims.STATEMENTS["conclude"], parameters)
    cancelled = {(claim_id, job_id) for job_id, claim_id in stopped}
    for each in mine:
        ours[_key(each)] = "cancelled" if _key(each) in cancelled else "recorded"
    return ours


def _keep_results(session: Session, process: str, batch: Collection[KeptOutcome]) -> None:
    kept = [each for each in batch if each.ttl_s is not None and each.outcome in _STATES]
    if kept:
        session.fetch(
            results.STATEMENTS["keep"],
            {
                "claim_ids": [each.claim_id for each in kept],
                "job_ids": [each.job_id for each in kept],
                "states": [_STATES[each.outcome] for each in kept],
                "results": [each.result for each in kept],
                "ttl_s": [each.ttl_s for each in kept],
                "process": process,
                "lock_wait": claims.LOCK_WAIT,
            },
        )


def _ended(kept: KeptOutcome) -> claims.Ended:
    """Return an outcome for the record; if a clock was put back, it has just ended."""
    ended_s = max(0.0, time.time() - kept.ended_at)
    return claims.Ended(
        kept.claim_id,
        kept.job_id,
        kept.outcome,
        ended_s + kept.ran_s,
        ended_s,
        kept.wait_s,
        kept.error,
    )


def _sent(kept: KeptOutcome, process_id: int) -> Sent:
    return Sent(_ended(kept), kept.attempt, process_id)


def _key(kept: KeptOutcome) -> Key:
    return kept.claim_id, kept.job_id


def _recovered(kept: KeptOutcome, how: How) -> tuple[str, RecoveredJob]:
    """Return the job's outcome, and the job for the report."""
    outcome, reason = kept.outcome, kept.reason
    if outcome == "expired":
        outcome, reason = "discarded", "expired"
    if how == "cancelled":
        outcome, reason = "discarded", "cancelled"
    if how == "completed":
        kept = kept._replace(error=None)
        outcome, reason = "finished", None
    # A snooze is no attempt: it is reported with the number of the attempt that follows.
    attempt = kept.attempt - (outcome == "snoozed")
    error = None if kept.error is None else json.loads(kept.error)
    job = RecoveredJob(kept.job_id, kept.class_name, kept.queue_name, attempt, error, reason)
    created_at = None if kept.created_us is None else moment_of(kept.created_us)
    return outcome, replace(job, duration=round(kept.ran_s, 6), created_at=created_at)


# The facts of a scoreboard.


def keep_left(folder: Path, dead: DeadProcess) -> OSError | None:
    """Add the facts of a dead process's scoreboard entry to its journal; return an error."""
    journal = Journal(journal_path(folder, dead.process))
    try:
        record = {"left": {**asdict(dead), "at": time.time()}}
        journal.append([{"process_id": dead.process_id}, record])
    except OSError as error:
        return error
    finally:
        journal.close()
    return None


def dead_process(contents: Contents, error: dict[str, Any], *, keep: bool) -> DeadProcess:
    """Return a journal's facts about its process: jobs that have not ended in it are released.

    Unless the monitor has added more: then it had died, or had not collected all.
    """
    asked = DeadProcess(contents.process_id, contents.process, error, release=True)
    left = contents.left
    try:
        dead = asked if left is None else _dead_of(left)
    except (KeyError, TypeError, ValueError):
        # Only another version of this program understands it.
        dead = asked
    return replace(dead, keep=keep)


def _dead_of(said: Record) -> DeadProcess:
    since_s = max(0.0, time.time() - said["at"])
    return DeadProcess(
        said["process_id"],
        said["process"],
        said["error"],
        running=[claims.InClaim(*each) for each in said["running"]],
        succeeded=[claims.InClaim(*each) for each in said["succeeded"]],
        endings=[policy.Ending(*each) for each in said["endings"]],
        release=said["release"],
        ages_s={int(job): age_s + since_s for job, age_s in said["ages_s"].items()},
    )
