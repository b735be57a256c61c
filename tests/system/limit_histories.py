"""Histories of limited jobs: what is done with one key, and what must never be seen.

A history has a key of its own with a limit of one to three. A driver does its steps through a
connection of its own; an auditor looks at the tables all the time.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from jobsd.acts import discards, retries
from jobsd.clock import monotonic
from jobsd.database.connection import Session, Target
from jobsd.dispatcher.maintenance import CHECK_S
from jobsd.enqueueing import bulk
from jobsd.errors import Error
from jobsd.jobs.draft import Draft
from jobsd.jobs.limits import Limited

if TYPE_CHECKING:
    from collections.abc import Iterable

STEPS = 12
PASS_S = 0.5
"""How often the limits are looked after."""
SEED = 20

WAYS = ["finish"] * 8 + ["fail", "retry", "again", "discard"]

AUDIT = """
WITH held AS (
    SELECT concurrency_key AS key, count(*) AS slots
    FROM jobsd.claims
    WHERE concurrency_key IS NOT NULL
    GROUP BY 1
), waiting AS (
    -- Of a key of which one job is ready, whoever claims that brings the others along.
    SELECT concurrency_key AS key
    FROM jobsd.blocked_executions
    GROUP BY 1
    HAVING count(position) = 0
)
SELECT
    (SELECT jsonb_object_agg(key, slots) FROM held),
    (SELECT jsonb_agg(key) FROM waiting),
    (
        SELECT jsonb_agg(id) FROM jobsd.claims
        WHERE concurrency_key IS NULL OR slot IS NULL OR cardinality(job_ids) = 0
    ),
    (SELECT jsonb_agg(job_id) FROM jobsd.ready_executions)
"""


@dataclass
class History:
    """One key, its limit, and what is done with it."""

    seed: int
    jobs: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        self.dice = random.Random(SEED * 1000 + self.seed)  # noqa: S311 - no secret
        self.key = f"h{self.seed}"
        self.limit = self.dice.choice([1, 1, 2, 3])


class Driver:
    """Does the steps of histories, through connections of its own."""

    def __init__(self, url: str, lost: set[int]) -> None:
        self.session = Session(Target(url), "driver")
        self.lost = lost

    def drive(self, history: History) -> None:
        steps = [
            *[self.enqueue] * 5,
            *[self.enqueue_together] * 2,
            *[self.enqueue_and_think] * 2,
            self.discard,
            self.retry,
            self.lose,
        ]
        for _ in range(STEPS):
            with contextlib.suppress(psycopg.OperationalError):
                history.dice.choice(steps)(history)
            time.sleep(history.dice.random() * 0.02)

    def _call(self, history: History) -> str:
        dice = history.dice
        # Seldom: who dies too often is started again late.
        how = "crash" if dice.random() < 0.004 else dice.choice(WAYS)
        return json.dumps([history.key, how, round(dice.random() * 0.01, 4)])

    def enqueue(self, history: History) -> None:
        row = self.session.connection.execute(
            "SELECT jobsd.enqueue('hold', %s::jsonb, priority => %s, max_attempts => 3,"
            " retries_crash => true, wait => %s::interval, concurrency_key => %s,"
            " concurrency_limit => %s, concurrency_duration => '0.3 s', on_conflict => %s)",
            (
                self._call(history),
                history.dice.randint(-2, 2),
                history.dice.choice([None, None, "20 ms"]),
                history.key,
                history.limit,
                history.dice.choice(["block", "block", "discard"]),
            ),
        ).fetchone()
        if row is not None and row[0] is not None:
            history.jobs.append(row[0])

    def enqueue_together(self, history: History) -> None:
        drafts = [
            Draft(
                "hold",
                "default",
                0,
                self._call(history),
                max_attempts=3,
                retries_crash=True,
                limited=Limited(history.key, history.limit, None, "block"),
            )
            for _ in range(3)
        ]
        stored = bulk.enqueue_many(self.session.connection, "jobsd", drafts, owned=True)
        history.jobs += [one.id for one in stored if one.id is not None]

    def enqueue_and_think(self, history: History) -> None:
        kept = len(history.jobs)
        with self.session.connection.transaction(force_rollback=history.dice.random() < 0.3):
            self.enqueue(history)
            time.sleep(history.dice.random() * 0.03)
        # Those of a transaction that was rolled back have never been.
        del history.jobs[kept:]

    def discard(self, history: History) -> None:
        if history.jobs:
            with contextlib.suppress(Error):
                discards.discard(history.dice.choice(history.jobs), session=self.session)

    def retry(self, history: History) -> None:
        for job_id in history.jobs[-4:]:
            with contextlib.suppress(Error):
                retries.retry(job_id, session=self.session)

    def lose(self, history: History) -> None:
        """Take a job out of the queue behind its back: others may wait behind it."""
        # Noted before: the auditor must know it once it can see it.
        self.lost.update(history.jobs[-3:])
        self.session.connection.execute(
            "DELETE FROM jobsd.blocked_executions WHERE ctid = ANY (ARRAY(SELECT ctid"
            " FROM jobsd.blocked_executions WHERE job_id = ANY (%s) AND position IS NOT NULL"
            " FOR UPDATE SKIP LOCKED))",
            (history.jobs[-3:],),
        )


def drive_all(url: str, lost: set[int], histories: Iterable[History]) -> None:
    """Do the steps of histories, one after the other, through a connection of its own."""
    driver = Driver(url, lost)
    for history in histories:
        driver.drive(history)
    driver.session.close()


class Auditor(threading.Thread):
    """Looks at the tables, again and again, for what must never be."""

    def __init__(self, url: str, limits: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.faults: list[str] = []
        self.checks = 0
        self._connection = psycopg.connect(url, autocommit=True)
        self._limits = limits
        self._idle_since: dict[str, float] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.01):
            row = self._connection.execute(AUDIT.encode()).fetchone()
            assert row is not None
            self._check(*row)
            self.checks += 1

    def end(self) -> None:
        self._over.set()
        self.join(10)
        self._connection.close()

    def _check(
        self,
        held: dict[str, int] | None,
        waiting: list[str] | None,
        odd: list[int] | None,
        slotless: list[int] | None,
    ) -> None:
        slots = held or {}
        for key, count in slots.items():
            if count > self._limits[key]:
                self.faults.append(f"{key}: {count} slots, limit {self._limits[key]}")
        if odd:
            self.faults.append(f"claims without a slot, or without a job: {odd}")
        if slotless:
            self.faults.append(f"limited jobs that need no slot: {slotless}")
        free = {key for key in waiting or () if slots.get(key, 0) < self._limits[key]}
        now = monotonic()
        self._idle_since = {key: self._idle_since.get(key, now) for key in free}
        # A look of a dispatcher would do, where a job was lost: every five seconds.
        for key, since in self._idle_since.items():
            if now - since > CHECK_S + 5 * PASS_S:
                self.faults.append(f"{key}: jobs wait for {now - since:.1f} s, a slot is free")
