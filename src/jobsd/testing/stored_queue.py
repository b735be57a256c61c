"""The jobs in the tables that a test's own transaction sees, and their attempts.

No other transaction sees its enqueues. So the jobs are claimed, performed and recorded here,
through the connection of the test: all of it is undone when the test rolls back. The statement
of workers records the outcomes. There is no clock: retries are ready again at once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import pq

from jobsd.clock import utc_now
from jobsd.database.statements import Statement, Statements
from jobsd.enqueueing import client, drivers
from jobsd.jobs import registry
from jobsd.jobs.draft import Draft
from jobsd.performing.perform import Outcome, described
from jobsd.states import claims, results

from . import running
from .found import PROCESS
from .open_jobs import ANY, Wanted
from .recorded_job import RecordedJob

STATEMENTS = Statements("jobsd.testing", "stored_queue.sql")

_SAVE, _BACK, _KEEP = (
    Statement("savepoint", words)
    for words in (
        "SAVEPOINT jobsd_job",
        "ROLLBACK TO SAVEPOINT jobsd_job",
        "RELEASE SAVEPOINT jobsd_job",
    )
)


class _Row(NamedTuple):
    id: int
    state: str
    class_name: str
    queue_name: str
    priority: int
    arguments: str
    attempts: int
    max_attempts: int
    created_at: datetime
    scheduled_at: datetime | None
    finished_at: datetime | None
    context: str | None
    position: int | None
    age_s: float


class StoredQueue:
    """The jobs that a connection sees."""

    def __init__(self, connection: object) -> None:
        self._driver = drivers.driver_of(connection, client.schema_of_tables())
        self._jobs: dict[int, RecordedJob] = {}

    @property
    def enqueued(self) -> list[RecordedJob]:
        """All jobs, in the order in which they were enqueued."""
        rows = [_Row(*row) for row in self._driver.fetch(STATEMENTS["all"], {})]
        return [self._job(row) for row in rows]

    def perform(self, wanted: Wanted = ANY, *, at: datetime | None = None) -> list[RecordedJob]:
        """Perform the ready jobs, and jobs that become ready by that; return them, in order."""
        performed: list[RecordedJob] = []
        while True:
            if at is not None:
                self._driver.fetch(STATEMENTS["dispatch"], {"at": at})
            ready = [job for job in self.enqueued if job.state in _WAITING and wanted.fits(job)]
            if not ready:
                return performed
            job = min(ready, key=lambda job: (job.priority, job.position))
            self._perform(job)
            performed.append(job)

    def _perform(self, job: RecordedJob) -> None:
        ((claim_id,),) = self._driver.fetch(STATEMENTS["claim"], {"id": job.id})
        outcome = self._within_savepoint(job)
        self._record(job, claim_id, outcome)
        if outcome.exception is not None and outcome.verdict.outcome != "snoozed":
            job.add_error(outcome.exception, utc_now())
        job.written = outcome.result
        _ = self.enqueued

    def _within_savepoint(self, job: RecordedJob) -> Outcome:
        """Run a job; without an open transaction, each of its statements is committed."""
        if drivers.commits_itself(self._driver):
            return running.run(job)
        self._send(_SAVE)
        outcome = running.run(job)
        if self._has_failed():
            # The job has ended the transaction by a statement of its own.
            self._send(_BACK)
        self._send(_KEEP)
        return outcome

    def _record(self, job: RecordedJob, claim_id: int, outcome: Outcome) -> None:
        verdict = outcome.verdict
        wait_s = verdict.wait_s if verdict.outcome == "snoozed" else 0.0
        error = described(outcome).error
        ended = claims.Ended(claim_id, job.id, verdict.outcome, wait_s=wait_s, error=error)
        given = claims.conclusion([ended], PROCESS, keep=True)
        ttl_s = registry.get(job.class_name).result_ttl_s
        if ttl_s is not None and outcome.result is not None:
            kept = {"states": given["outcomes"], "results": [outcome.result], "ttl_s": [ttl_s]}
            self._driver.fetch(results.STATEMENTS["keep"], {**given, **kept})
        self._driver.fetch(claims.STATEMENTS["conclude"], given)

    def _send(self, statement: Statement) -> None:
        if isinstance(self._driver, drivers.PsycopgDriver):
            self._driver.connection.execute(statement.render(self._driver.schema))

    def _has_failed(self) -> bool:
        driver = self._driver
        return isinstance(driver, drivers.PsycopgDriver) and (
            driver.connection.info.transaction_status == pq.TransactionStatus.INERROR
        )

    def _job(self, row: _Row) -> RecordedJob:
        job = self._jobs.get(row.id)
        if job is None:
            job = self._jobs[row.id] = RecordedJob(row.id, _draft(row), row.created_at)
        job.draft, job.state, job.attempts = _draft(row), row.state, row.attempts
        job.scheduled_at, job.ended_at = row.scheduled_at, row.finished_at
        job.position, job.uncertain_s = row.position or row.id, row.age_s
        return job


_WAITING: Sequence[str] = ("ready", "blocked")


def _draft(row: _Row) -> Draft:
    return Draft(
        row.class_name,
        row.queue_name,
        row.priority,
        row.arguments,
        row.max_attempts,
        context=row.context,
    )
