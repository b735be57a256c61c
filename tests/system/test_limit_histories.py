"""Two hundred random histories of limited jobs, on a real tree that is ill-treated meanwhile.

Each history has a key of its own with a limit of one to three, and is driven by one of a few
threads with connections of their own: it enqueues in every way there is, discards, retries,
loses jobs. The jobs finish, fail, come back, and kill their workers; workers are told to
leave, the dispatcher is killed, connections are cut. An auditor looks at the tables all the
time, and a ledger outside the database says what ran when.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Target
from jobsd.errors import Error
from jobsd.jobs import bulk, discards, failed
from jobsd.jobs.draft import Draft
from jobsd.jobs.limits import Limited
from system.tree import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from system.tree import Project, Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

HISTORIES = 200
STEPS = 12
DRIVERS = 4
PASS_S = 0.5
SEED = 20

JOBS = """
import os, time
from jobsd import Discard, Retry, Snooze, constant, current_job, job

def tell(word, key):
    line = f"{word} {key} {current_job().id} {os.getpid()} {time.monotonic()}\\n"
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, line.encode())
    os.close(fd)

@job(name="hold", max_attempts=3, retry_on=(OSError,), backoff=constant(0.02))
def hold(key, how, seconds):
    tell("start", key)
    time.sleep(seconds)
    if how == "crash" and current_job().attempt == 1:
        tell("crash", key)
        os.kill(os.getpid(), 9)
    tell("end", key)
    attempt = current_job().attempt
    if how == "fail":
        raise ValueError(how)
    if how == "retry" and attempt < 3:
        raise OSError(how)
    if how == "again" and attempt < 3:
        raise Retry(after=0)
    if how == "discard":
        raise Discard(how)
"""

QUEUE = f"""
import: [limited_jobs]
workers: [{{processes: 2, threads: 4}}]
dispatchers: [{{concurrency_maintenance_interval: {PASS_S}}}]
jobs: {{default_concurrency_control_period: 0.3}}
"""

WAYS = ["finish"] * 8 + ["fail", "retry", "again", "discard"]

AUDIT = """
WITH held AS (
    SELECT key, count(*) AS slots FROM jobsd.concurrency_slots GROUP BY key
), owner AS (
    SELECT job_id FROM jobsd.ready_executions
    UNION ALL
    SELECT job_id FROM jobsd.claimed_executions
), waiting AS (
    SELECT concurrency_key AS key FROM jobsd.blocked_executions GROUP BY 1
)
SELECT
    (SELECT jsonb_object_agg(key, slots) FROM held),
    (SELECT jsonb_agg(key) FROM waiting),
    (
        SELECT jsonb_agg(job_id) FROM jobsd.concurrency_slots
        WHERE job_id NOT IN (SELECT job_id FROM owner)
    ),
    (
        SELECT jsonb_agg(job_id) FROM owner
        WHERE job_id NOT IN (SELECT job_id FROM jobsd.concurrency_slots)
    )
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
                failed.retry(job_id, session=self.session)

    def lose(self, history: History) -> None:
        """Take a job out of the queue behind its back: its slot has to expire."""
        # Noted before: the auditor must know it once it can see it.
        self.lost.update(history.jobs[-3:])
        self.session.connection.execute(
            "DELETE FROM jobsd.ready_executions WHERE ctid = ANY (ARRAY(SELECT ctid"
            " FROM jobsd.ready_executions WHERE job_id = ANY (%s) FOR UPDATE SKIP LOCKED))",
            (history.jobs[-3:],),
        )


class Auditor(threading.Thread):
    """Looks at the tables, again and again, for what must never be."""

    def __init__(self, url: str, limits: dict[str, int], lost: set[int]) -> None:
        super().__init__(daemon=True)
        self.faults: list[str] = []
        self.looks = 0
        self._connection = psycopg.connect(url, autocommit=True)
        self._limits = limits
        self._lost = lost
        self._idle_since: dict[str, float] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.01):
            row = self._connection.execute(AUDIT.encode()).fetchone()
            assert row is not None
            self._check(*row)
            self.looks += 1

    def end(self) -> None:
        self._over.set()
        self.join(10)
        self._connection.close()

    def _check(
        self,
        held: dict[str, int] | None,
        waiting: list[str] | None,
        ownerless: list[int] | None,
        slotless: list[int] | None,
    ) -> None:
        slots = held or {}
        for key, count in slots.items():
            if count > self._limits[key]:
                self.faults.append(f"{key}: {count} slots, limit {self._limits[key]}")
        if strays := set(ownerless or ()) - self._lost:
            self.faults.append(f"slots of jobs that are neither ready nor claimed: {strays}")
        if slotless:
            self.faults.append(f"limited jobs without a slot: {slotless}")
        free = {key for key in waiting or () if slots.get(key, 0) < self._limits[key]}
        now = monotonic()
        self._idle_since = {key: self._idle_since.get(key, now) for key in free}
        for key, since in self._idle_since.items():
            if now - since > 20 * PASS_S:
                self.faults.append(f"{key}: jobs wait for {now - since:.1f} s, a slot is free")


@pytest.fixture
def troubles(empty_database: str) -> Callable[[Tree, threading.Event], None]:
    """What is done to the tree meanwhile: one thing a second."""

    def trouble(tree: Tree, over: threading.Event) -> None:
        dice = random.Random(SEED)  # noqa: S311 - no secret
        with psycopg.connect(empty_database, autocommit=True) as connection:
            while not over.wait(1.0):
                kind, number = dice.choice(
                    [("worker", signal.SIGTERM), ("dispatcher", signal.SIGKILL), ("", None)]
                )
                if number is None:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'jobsd worker%' LIMIT 1"
                    )
                elif children := tree.children(kind):
                    with contextlib.suppress(ProcessLookupError):
                        dice.choice(children).send_signal(number)

    return trouble


@pytest.mark.behaviour(67, 68, 70, 72, 73, 74)
@pytest.mark.timeout(180)
def test_no_history_breaks_a_limit_or_leaks_a_slot(
    project: Project,
    query: Query,
    troubles: Callable[[Tree, threading.Event], None],
) -> None:
    project.write("limited_jobs.py", JOBS)
    project.write("config/queue.yml", QUEUE)
    url = project.environ["DATABASE_URL"]
    histories = [History(seed) for seed in range(HISTORIES)]
    limits = {history.key: history.limit for history in histories}
    lost: set[int] = set()
    over = threading.Event()
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        auditor = Auditor(url, limits, lost)
        auditor.start()
        with ThreadPoolExecutor(DRIVERS + 1) as pool:
            trouble = pool.submit(troubles, tree, over)
            drivers = [Driver(url, lost) for _ in range(DRIVERS)]
            done = [
                pool.submit(lambda d, hs: [d.drive(h) for h in hs], d, histories[n::DRIVERS])
                for n, d in enumerate(drivers)
            ]
            for each in done:
                each.result()
            over.set()
            trouble.result()
            for driver in drivers:
                driver.session.close()
        _wait_until_all_is_done(query)
        auditor.end()
        tree.terminate()

    assert auditor.faults == []
    assert auditor.looks > 100
    _check_ledger(project, limits)
    _check_tables(query, lost)


def _wait_until_all_is_done(query: Query) -> None:
    for table in ("scheduled_executions", "blocked_executions", "ready_executions", "claims"):
        wait_for(lambda table=table: not query(f"SELECT FROM jobsd.{table}"), 60, table)
    wait_for(lambda: not query("SELECT FROM jobsd.concurrency_slots"), 30, "slots are left")


def _check_ledger(project: Project, limits: dict[str, int]) -> None:
    """Never did more jobs of a key run at once than its limit says."""
    running: defaultdict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    seen: Counter[str] = Counter()
    lines = (project.root / "ledger").read_text(encoding="utf-8").splitlines()
    for line in sorted(lines, key=lambda line: float(line.split()[-1])):
        word, key, job_id, pid, _ = line.split()
        seen[word] += 1
        if word == "start":
            running[key][job_id, pid] = None
            assert len(running[key]) <= limits[key], f"{key}: {running[key]}, at {line}"
        elif word == "end":
            del running[key][job_id, pid]
        else:
            for jobs in running.values():
                for one in [one for one in jobs if one[1] == pid]:
                    del jobs[one]
    assert seen["start"] > HISTORIES * STEPS // 2
    assert seen["crash"] >= 2


def _check_tables(query: Query, lost: set[int]) -> None:
    """Every job has ended, but for those that were taken out of the queue."""
    unended: list[Any] = query(
        "SELECT id FROM jobsd.jobs WHERE finished_at IS NULL"
        " AND id NOT IN (SELECT job_id FROM jobsd.failed_executions)"
    )
    assert {row[0] for row in unended} <= lost
    assert query("SELECT count(*) FROM jobsd.jobs WHERE attempts > max_attempts") == [(0,)]
