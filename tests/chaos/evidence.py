"""What is known after a chaos run, from all who have taken something down.

The jobs have told the ledger what they did, the enqueuers what they were promised,
PostgreSQL what was recorded in which transaction, the watch who lived until when. All
times are monotonic seconds of this machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chaos.askers import Answer, Ask
from chaos.enqueuers import Intent
from chaos.watch import Asked, Sighting

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.grounds import Database

PLACES = ("ready", "scheduled", "blocked", "claimed")


@dataclass(slots=True)
class Run:
    """One start of a job's code; `result` is what it raised, None while it did not end."""

    n: int
    job_id: int
    attempt: int
    pid: int
    began: float
    key: str
    ended: float | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A row of the table of jobs."""

    id: int
    n: int
    attempts: int
    max_attempts: int
    outcome: str | None
    """As in the database; erased when the row of a job that had ended was not kept."""
    error: str | None
    """The type of the error with which it has failed."""
    class_name: str = ""
    reason: str | None = None
    """Why it was discarded, where that is known."""
    ended: float | None = None


@dataclass(slots=True)
class Holding:
    """A job in a claim: who held it, how it ended, and whether that recorded an attempt."""

    job_id: int
    pid: int
    made: float
    ended: float = float("inf")
    ended_by: str = ""
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A change of a job's outcome or of its attempts."""

    job_id: int
    attempts_before: int
    attempts: int
    outcome_before: str | None
    outcome: str | None


@dataclass(slots=True)
class Evidence:
    """Everything that the checker is shown."""

    intents: list[Intent] = field(default_factory=list[Intent])
    runs: list[Run] = field(default_factory=list[Run])
    jobs: list[StoredJob] = field(default_factory=list[StoredJob])
    holdings: list[Holding] = field(default_factory=list[Holding])
    recordings: list[Recording] = field(default_factory=list[Recording])
    attempts: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(job, attempt) of each attempt that was recorded as failed."""
    orders: set[int] = field(default_factory=set[int])
    planned: list[int] = field(default_factory=list[int])
    """The jobs of the planned instants of the recurring task."""
    waiting: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """The jobs that have not ended, by where they are."""
    slots: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    sightings: dict[int, Sighting] = field(default_factory=dict[int, Sighting])
    asked: list[Asked] = field(default_factory=list[Asked])
    trees: dict[str, str] = field(default_factory=dict[str, str])
    """The tree of each process, by its name in the database."""
    cancelled: dict[int, str] = field(default_factory=dict[int, str])
    """The jobs that somebody has cancelled, with the state each was met in; or unknown."""
    deadlines: dict[int, float] = field(default_factory=dict[int, float])
    """By when each job had to be begun that may expire."""
    effects: list[int] = field(default_factory=list[int])
    """The numbers of the jobs that have stored something in a transaction of their own."""
    answers: list[Answer] = field(default_factory=list[Answer])
    asks: list[Ask] = field(default_factory=list[Ask])
    results: dict[int, Any] = field(default_factory=dict[int, Any])
    """What is kept of what jobs have returned that have finished."""
    logs: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """What is kept of what the attempts of a job have printed."""
    touched: set[int] = field(default_factory=set[int])
    """Jobs that somebody has retried or dropped by hand, or tried to."""
    exits: dict[int, str] = field(default_factory=dict[int, str])
    """Why each process has ended, as its supervisor has told."""
    seen: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """What the auditor has found meanwhile, by fault."""
    remains: list[str] = field(default_factory=list[str])
    """What was there still after the end of the trees."""
    errors: list[str] = field(default_factory=list[str])
    """What went wrong in the program itself, as it has told."""


def runs_of(ledger: Path) -> list[Run]:
    """Read what the jobs have told."""
    runs: list[Run] = []
    # By job and process; what is said last of an end counts.
    newest: dict[tuple[int, int], Run] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        word, n, job_id, attempt, pid, at, key, result = line.split()
        who = (int(job_id), int(pid))
        if word == "start":
            run = Run(int(n), who[0], int(attempt), who[1], float(at), key)
            newest[who] = run
            runs.append(run)
        else:
            run = newest[who]
            run.ended, run.result = float(at), result
    return runs


def gather(database: Database, evidence: Evidence) -> None:
    """Add what the database says."""
    ask = database.ask
    shift = time.monotonic() - time.time()
    evidence.jobs = [
        StoredJob(*row)
        for row in ask(
            "SELECT id, coalesce((arguments ->> 0)::int, 0), attempts, max_attempts, outcome,"
            " error ->> 'type', jobs.class_name, reason,"
            " extract(epoch FROM finished_at)::float8 + %s FROM jobsd.jobs"
            " LEFT JOIN jobsd.failed_executions ON job_id = id ORDER BY id",
            (shift,),
        )
    ]
    # Who is kept out by its limit while it is being stored is erased by its enqueuer.
    evidence.jobs += [
        StoredJob(job_id, n, attempts, most, "erased", None, class_name)
        for job_id, n, attempts, most, class_name in ask(
            "SELECT job_id, n, attempts, max_attempts, class_name FROM chaos.erased"
            " WHERE said_by NOT IN ('jobsd client', '') ORDER BY job_id"
        )
    ]
    evidence.attempts = [
        (row[0], row[1])
        for row in ask("SELECT job_id, attempt FROM jobsd.attempts WHERE error IS NOT NULL")
    ]
    evidence.results = dict(
        ask("SELECT job_id, result -> 0 FROM jobsd.results WHERE state = 'finished'")
    )
    evidence.logs = [
        (row[0], row[1])
        for row in ask("SELECT job_id, log FROM jobsd.attempts WHERE log IS NOT NULL")
    ]
    evidence.effects = [row[0] for row in ask("SELECT n FROM chaos.effects")]
    evidence.deadlines = {
        job_id: at + shift
        for job_id, at in ask(
            "SELECT job_id, extract(epoch FROM max(expires_at))::float8 FROM chaos.deadlines"
            " GROUP BY job_id"
        )
    }
    evidence.orders = {row[0] for row in ask("SELECT n FROM chaos.orders")}
    evidence.planned = [
        row[0]
        for row in ask("SELECT job_id FROM jobsd.recurring_executions WHERE job_id IS NOT NULL")
    ]
    evidence.slots = [
        (row[0], row[1])
        for row in ask(
            "SELECT concurrency_key, coalesce(completed, job_ids[1]) FROM jobsd.claims"
            " WHERE concurrency_key IS NOT NULL"
        )
    ]
    evidence.waiting = {
        name: [row[0] for row in ask(f"SELECT job_id FROM jobsd.{name}_executions")]
        for name in PLACES
    }
    evidence.recordings = [
        Recording(*row)
        for row in ask(
            "SELECT job_id, attempts_before, attempts, outcome_before, outcome"
            " FROM chaos.outcomes ORDER BY turn"
        )
    ]
    processes = {row[0]: row[1:] for row in ask("SELECT id, name, pid FROM chaos.processes")}
    evidence.trees = {
        name: evidence.sightings[pid].tree
        for name, pid in processes.values()
        if pid in evidence.sightings
    }
    evidence.holdings = _holdings(database, {key: row[1] for key, row in processes.items()})


def _holdings(database: Database, pids: dict[int, int]) -> list[Holding]:
    """Put together who had which job in hand, from when to when."""
    shift = time.monotonic() - time.time()
    recorded = set(
        database.ask(
            "SELECT job_id, xact::text FROM chaos.outcomes"
            " UNION SELECT job_id, xact::text FROM chaos.erased"
        )
    )
    holdings: list[Holding] = []
    current: dict[tuple[int, int], Holding] = {}
    # By the transaction that took them from a claim.
    left: dict[tuple[int, int, str], Holding] = {}
    rows: list[Any] = database.ask(
        "SELECT extract(epoch FROM at)::float8, xact::text, said_by, made, claim_id,"
        " process_id, job_ids FROM chaos.claims ORDER BY turn"
    )
    for at, xact, said_by, made, claim_id, process_id, job_ids in rows:
        for job_id in job_ids:
            pid = pids.get(process_id, 0)
            if made:
                # What is moved to a claim of its own is held on.
                moved = left.pop((job_id, pid, xact), None)
                holding = moved or Holding(job_id, pid, at + shift)
                holding.ended, holding.ended_by, holding.recorded = float("inf"), "", False
                current[claim_id, job_id] = holding
                holdings += [] if moved else [holding]
            elif (held := current.pop((claim_id, job_id), None)) is not None:
                held.ended, held.ended_by = at + shift, said_by.removeprefix("jobsd ")
                held.recorded = (job_id, xact) in recorded
                if not held.recorded:
                    left[job_id, pid, xact] = held
    return holdings
