"""Looks at the tables during the whole run for what must not be at any moment."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from chaos.grounds import Database

# One statement, so one snapshot: each job is in one place, what is claimed of limited jobs is
# claimed with a slot of its key, a claim without jobs is marked as completed, no key has more
# slots than its limit (also those of jobs that have completed themselves), of no key of unique
# jobs there are two: that have not ended, or (until they are started) that were never claimed.
CHECK = """
WITH place AS (
    SELECT job_id FROM jobsd.ready_executions
    UNION ALL SELECT job_id FROM jobsd.parked_executions
    UNION ALL SELECT job_id FROM jobsd.scheduled_executions
    UNION ALL SELECT job_id FROM jobsd.blocked_executions
    UNION ALL SELECT job_id FROM jobsd.claimed_executions
    UNION ALL SELECT job_id FROM jobsd.failed_executions
    UNION ALL SELECT id FROM jobsd.jobs WHERE outcome IS NOT NULL
), held AS (
    SELECT claim.concurrency_key AS key, member.job_id
    FROM jobsd.claims AS claim CROSS JOIN LATERAL unnest(claim.job_ids) AS member (job_id)
    UNION ALL SELECT NULL, job_id FROM jobsd.ready_executions
)
SELECT
    ARRAY(SELECT job_id FROM place GROUP BY job_id HAVING count(*) > 1),
    ARRAY(SELECT id FROM jobsd.jobs WHERE id NOT IN (SELECT job_id FROM place)),
    ARRAY(SELECT job_id FROM place WHERE job_id NOT IN (SELECT id FROM jobsd.jobs)),
    ARRAY(SELECT id FROM jobsd.claims
        WHERE (concurrency_key IS NOT NULL AND slot IS NULL)
            OR (cardinality(job_ids) = 0) <> (completed IS NOT NULL)),
    ARRAY(SELECT job_id FROM held JOIN jobsd.jobs ON id = job_id
        WHERE concurrency_key IS DISTINCT FROM key),
    ARRAY(SELECT claim.concurrency_key
        FROM jobsd.claims AS claim
        JOIN jobsd.jobs AS job ON job.id = coalesce(claim.completed, claim.job_ids[1])
        WHERE claim.concurrency_key IS NOT NULL
        GROUP BY claim.concurrency_key HAVING count(*) > min(job.concurrency_limit)),
    ARRAY(SELECT unique_key FROM jobsd.jobs
        WHERE outcome IS NULL AND unique_until IS NOT NULL
            AND id NOT IN (SELECT job_id FROM jobsd.failed_executions)
            AND (unique_until = 'finished'
                OR NOT EXISTS (SELECT FROM chaos.claims WHERE made AND id = ANY (job_ids)))
        GROUP BY unique_key, unique_until HAVING count(*) > 1)
"""
FAULTS = (
    "in two places", "in no place", "a place without a job", "slot without its job",
    "limited job without slot", "more slots than the limit", "two of one key",
)  # fmt: skip


@dataclass(slots=True)
class Auditor:
    """A thread that looks, and what it has found: fault → the jobs or keys."""

    database: Database
    checks: int = 0
    found: dict[str, Counter[str]] = field(
        default_factory=lambda: {fault: Counter[str]() for fault in FAULTS}
    )
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, every_s: float) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, args=(every_s,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(20)

    def _run(self, every_s: float) -> None:
        while not self._over.wait(every_s):
            try:
                self.check()
            except psycopg.Error:
                # The database is away; that is part of the game.
                continue

    def check(self) -> None:
        """Look once."""
        (row,) = self.database.ask(CHECK)
        self.checks += 1
        for fault, members in zip(FAULTS, row, strict=True):
            self.found[fault].update(map(str, members))
