"""Two hundred random histories of limited jobs, on a real tree that is ill-treated meanwhile.

Each history has a key of its own with a limit of one to three, and is driven by one of a few
threads with connections of their own: it enqueues in every way there is, discards, retries,
loses jobs. The jobs finish, fail, come back, and kill their workers; workers are told to
leave, the dispatcher is killed, connections are cut. An auditor looks at the tables all the
time, and a ledger outside the database says what ran when.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from system.limit_histories import PASS_S, SEED, STEPS, Auditor, History, drive_all
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

HISTORIES = 200
SEEN = {
    "job.failed",
    "job.retried",
    "job.discarded",
    "job.released",
    "process.recovered",
}
"""What must have come about for the histories to prove anything."""
DRIVERS = 4

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


@pytest.mark.failure(
    "Two hundred random histories of limited jobs, while workers and dispatchers are killed,"
    " asked to end and disconnected, and their jobs recovered by others.",
    "No limit is ever exceeded, no slot leaks, no job waits beside a free slot.",
)
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
        auditor = Auditor(url, limits)
        auditor.start()
        with ThreadPoolExecutor(DRIVERS + 1) as pool:
            trouble = pool.submit(troubles, tree, over)
            shares = [histories[number::DRIVERS] for number in range(DRIVERS)]
            list(pool.map(partial(drive_all, url, lost), shares))
            over.set()
            trouble.result()
        _wait_until_all_is_done(query)
        auditor.end()
        tree.terminate()

    assert auditor.faults == []
    assert auditor.checks > 100
    _check_ledger(project, limits)
    _check_tables(query, lost)
    assert {event["event"] for event in tree.events()} >= SEEN


def _wait_until_all_is_done(query: Query) -> None:
    # In one statement: between two, a job goes from one table to another.
    left = """
        SELECT job_id FROM jobsd.scheduled_executions
        UNION ALL SELECT job_id FROM jobsd.blocked_executions
        UNION ALL SELECT job_id FROM jobsd.ready_executions
        UNION ALL SELECT job_id FROM jobsd.claimed_executions
    """
    wait_until(lambda: not query(left), 60, lambda: str(query(left)))


def _check_ledger(project: Project, limits: dict[str, int]) -> None:
    """Never did more jobs of a key run at once than its limit says."""
    running: defaultdict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    seen: Counter[str] = Counter()
    crashed: set[str] = set()
    lines = (project.root / "ledger").read_text(encoding="utf-8").splitlines()
    for line in sorted(lines, key=lambda line: float(line.split()[-1])):
        word, key, job_id, pid, _ = line.split()
        seen[word] += 1
        if pid in crashed:
            # Its other threads went on until the kill came.
            continue
        if word == "start":
            running[key][job_id, pid] = None
            assert len(running[key]) <= limits[key], f"{key}: {running[key]}, at {line}"
        elif word == "end":
            del running[key][job_id, pid]
        else:
            crashed.add(pid)
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
