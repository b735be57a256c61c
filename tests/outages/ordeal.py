"""A tree with work of every kind, while the database is ill-treated below it.

An enqueuer outside the tree goes on as a program would, and remembers what was committed.
At the end each of these jobs must have ended as it was meant to, once; nobody may have
exited; and the tree must have told the outage once.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg

from harness.project import Project
from jobsd.database.connection import OUTAGES
from system.jobs import LEDGER, ledger, ledger_times
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from harness.tree import Tree
    from waiting import Stopwatch, Took

BEFORE_S = 1.0
"""How long before a failover a job may have run whose outcome was written during it."""
RECOVERY_S = 3.0
"""After the database's return: the longest pause is one second, the rest is the machine's."""

JOBS = """
from jobsd import constant, current_job, job

@job
def plain(n):
    ledger("ran", n)

@job
def fails(n):
    ledger("ran", n)
    raise ValueError("as it was told")

@job(max_attempts=2, backoff=constant(0.1))
def retried(n):
    ledger("ran", n, current_job().attempt)
    if current_job().attempt == 1:
        raise ValueError("again")

@job
def slow(n, seconds):
    ledger("began", n)
    time.sleep(seconds)
    ledger("ran", n)

@job
def tick():
    ledger("tick")
"""

QUEUE = """
import: [trial_jobs]
workers: [{{processes: 2, threads: 3, polling_interval: 0.2}}]
dispatchers: [{{polling_interval: 0.2, concurrency_maintenance_interval: 1}}]
supervisor: {{heartbeat_interval: 1, process_alive_threshold: 12}}
database: {database}
"""
RECURRING = "tick: {class: trial_jobs.tick, schedule: every second}\n"

_ENQUEUE = """
SELECT jobsd.enqueue(
    'trial_jobs.' || %s, to_jsonb(%s::float8[]), priority => 1, wait => %s,
    max_attempts => %s, concurrency_key => %s, concurrency_limit => 2
)
"""
_KINDS: list[tuple[str, str, list[float], str | None, int, str | None]] = [
    ("plain", "plain", [], None, 1, None),
    ("limited", "plain", [], None, 1, "key"),
    ("scheduled", "plain", [], "0.3 s", 1, None),
    ("fails", "fails", [], None, 1, None),
    ("retried", "retried", [], None, 2, None),
    ("plain", "plain", [], None, 1, None),
    ("slow", "slow", [0.3], None, 1, "slow"),
]
_OUTCOMES = """
SELECT id, coalesce(outcome, CASE WHEN f.job_id IS NOT NULL THEN 'failed' ELSE 'open' END),
    attempts
FROM jobsd.jobs LEFT JOIN jobsd.failed_executions f ON f.job_id = id
WHERE jobs.class_name <> 'trial_jobs.tick'
"""
_LEFT = """
SELECT (SELECT count(*) FROM jobsd.claims),
    (SELECT count(*) FROM jobsd.blocked_executions),
    (SELECT count(*) FROM jobsd.scheduled_executions WHERE scheduled_at < now())
"""
_DOUBLE_TICKS = """
SELECT run_at FROM jobsd.recurring_executions GROUP BY task_key, run_at HAVING count(*) > 1
"""
_EXPECTED = {"fails": ("failed", 1), "retried": ("finished", 2)}


class Enqueuer:
    """A program beside the tree: it enqueues one job after the other, whatever happens."""

    def __init__(self, url: str, pause_s: float = 0.02) -> None:
        self.committed: dict[int, str] = {}
        """The jobs that are stored for certain, and of which kind they are."""
        self.doubts = 0
        """How many may be stored or not: the connection broke while they were."""
        self._url = url
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="enqueuer", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Enqueue no more."""
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        # No number twice: the job of one that is in doubt may be there, and run.
        numbers = itertools.count()
        while not self._over.wait(0.1):
            with contextlib.suppress(*OUTAGES), connect(self._url) as connection:
                while not self._over.wait(self._pause_s):
                    self._enqueue(connection, next(numbers))

    def _enqueue(self, connection: psycopg.Connection[Any], n: int) -> None:
        kind, name, arguments, wait, attempts, key = _KINDS[n % len(_KINDS)]
        self.doubts += 1
        (job_id,) = connection.execute(
            _ENQUEUE, (name, [float(n), *arguments], wait, attempts, key)
        ).fetchone() or (0,)
        self.doubts -= 1
        self.committed[job_id] = kind


class Ordeal:
    """One tree, its project, and the enqueuer beside it."""

    def __init__(self, project: Project, tree: Tree, url: str) -> None:
        self.project = project
        self.tree = tree
        self.url = url
        self.before: set[int] = set()
        self.enqueuer: Enqueuer | None = None
        self.recoveries = 0

    def begin(self) -> Enqueuer:
        """Wait until all is up and work goes round; then say who must live on."""
        self.tree.wait_event("supervisor.ready")
        self.enqueuer = Enqueuer(self.url)
        wait_until(lambda: len(ledger(self.project)) > 20, what=self.tree.reported)
        self.before = {child.pid for child in self.tree.children()}
        return self.enqueuer

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with connect(self.url) as connection:
            return connection.execute(text.encode()).fetchall()

    def recovered(self, back: Stopwatch) -> Took:
        """Wait until a job runs that is enqueued now; return what it took since the return."""
        self.recoveries += 1
        n = -0.5 - self.recoveries
        with connect(self.url) as connection:
            row = connection.execute(_ENQUEUE, ("plain", [n], None, 1, None)).fetchone()
        if self.enqueuer is not None and row is not None:
            self.enqueuer.committed[row[0]] = "plain"
        wait_until(lambda: f"ran {n}" in self._ledger(), what=self.tree.reported)
        took_s = back.took()
        print(f"recovered within {took_s:.2f} s")
        return took_s

    def check(self, *, lost: int | None = 1) -> None:
        """Let all work come to its end, and see that none is lost, double, or untrue.

        With `lost` so many outages were told; None is for those that come as they like.
        """
        enqueuer = self._end()
        outcomes = self._outcomes()
        assert {
            job: kind for job, kind in enqueuer.committed.items() if job not in outcomes
        } == {}
        self._check_outcomes(outcomes)
        assert len(outcomes) <= len(enqueuer.committed) + enqueuer.doubts
        assert self._doubles() == []
        self._check_reported(lost)

    def check_behind(self, failovers: Sequence[tuple[float, float]]) -> None:
        """See the same after failovers to standbys that were behind, from when to when each.

        What was committed and had not reached the standby is gone. What ran twice is what the
        standby did not know to have ended: it ran before in the time of a failover. Claims of
        which the standby did not know are lost, and said to be.
        """
        enqueuer = self._end()
        outcomes = self._outcomes()
        self._check_outcomes(outcomes)
        gone, doubles = enqueuer.committed.keys() - outcomes.keys(), self._doubles()
        print(f"{len(gone)} jobs were not on the standby, {len(doubles)} ran twice")
        runs = ledger_times(self.project)
        for line in doubles:
            *earlier, _ = sorted(runs[line])
            untold = [
                at
                for at in earlier
                if not any(began - BEFORE_S < at < over for began, over in failovers)
            ]
            assert untold == [], (line, runs[line], failovers)
        self._check_reported(None, behind=True)

    def _end(self) -> Enqueuer:
        assert self.enqueuer is not None
        self.enqueuer.end()
        # One that is in no table would be open for ever.
        wait_until(lambda: self._open() == 0, 30, self.tree.reported)
        wait_until(
            lambda: self.query(_LEFT) == [(0, 0, 0)], what=lambda: str(self.query(_LEFT))
        )
        assert self.query(_DOUBLE_TICKS) == []
        return self.enqueuer

    def _outcomes(self) -> dict[int, tuple[str, int]]:
        return {job: (outcome, n) for job, outcome, n in self.query(_OUTCOMES)}

    def _check_outcomes(self, outcomes: dict[int, tuple[str, int]]) -> None:
        """See that the jobs that are there and were promised ended as they were meant to."""
        assert self.enqueuer is not None
        untrue = {
            job: (kind, outcomes[job])
            for job, kind in self.enqueuer.committed.items()
            if job in outcomes and outcomes[job] != _EXPECTED.get(kind, ("finished", 1))
        }
        assert untrue == {}

    def _doubles(self) -> list[str]:
        return [line for line, n in Counter(self._runs()).items() if n > 1]

    def _open(self) -> int:
        with contextlib.suppress(psycopg.OperationalError):
            return sum(outcome == "open" for _, outcome, _ in self.query(_OUTCOMES))
        return -1

    def _runs(self) -> list[str]:
        return [line for line in self._ledger() if line.startswith("ran")]

    def _ledger(self) -> list[str]:
        return ledger(self.project)

    def _check_reported(self, lost: int | None, *, behind: bool = False) -> None:
        tree = self.tree
        untrue = {"process.exited", "process.replaced", "process.hung"}
        more: set[str] = set() if behind else {"claims.lost"}
        for event in untrue | more:
            assert tree.events(event) == [], event
        assert {child.pid for child in tree.children()} == self.before, tree.reported()
        begun = len(tree.events("database.unavailable")) + len(tree.events("database.awaited"))
        wait_until(lambda: len(tree.events("database.available")) == begun, 5, tree.reported)
        if lost is not None:
            assert begun == lost, [
                event["error"] for event in tree.events("database.unavailable")
            ]


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect as a program would that waits a few seconds at most."""
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=2,
        prepare_threshold=None,
        application_name="test",
    )


@contextlib.contextmanager
def ordeal(
    root: Path, url: str, *, database: str = "{}", direct_url: str = "", **environ: str
) -> Generator[Ordeal]:
    """A tree on this database; `direct_url` is for those who look on, past a pooler."""
    project = Project(root, url, LEDGER=str(root / "ledger"), **environ)
    project.write("trial_jobs.py", LEDGER + JOBS)
    project.write("config/queue.yml", QUEUE.format(database=database))
    project.write("config/recurring.yml", RECURRING)
    with project.start() as tree:
        made = Ordeal(project, tree, direct_url or url)
        try:
            yield made
        finally:
            if made.enqueuer is not None:
                made.enqueuer.end()
