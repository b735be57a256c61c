"""A tree is stopped while the database is away; the next one starts before or after that."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from harness.project import Project
from outages.ordeal import connect
from system.jobs import LEDGER, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from harness.tree import Tree
    from outages.cluster import Cluster

pytestmark = pytest.mark.system

JOBS = """
import asyncio
from pathlib import Path
from jobsd import Snooze, Discard, constant, current_job, job

def hold(name):
    ledger("began", name)
    while not Path(os.environ["GATE"]).exists():
        time.sleep(0.02)
    ledger("ended", name)

@job
def success():
    hold("success")

@job(result_ttl="1h")
def result():
    hold("result")
    return {"answer": 42}

@job
async def coroutine():
    ledger("began", "coroutine")
    while not Path(os.environ["GATE"]).exists():
        await asyncio.sleep(0.02)
    ledger("ended", "coroutine")

@job
def failure():
    hold("failure")
    raise ValueError("in its own words")

@job(max_attempts=2, backoff=constant(3600))
def retry():
    hold("retry")
    raise ValueError("again")

@job
def snooze():
    hold("snooze")
    raise Snooze(3600)

@job
def discard():
    hold("discard")
    raise Discard("no longer wanted")

@job
def long():
    ledger("began", "long")
    while not Path(os.environ["GATE"] + ".long").exists():
        time.sleep(0.02)
    ledger("ended", "long")
"""
QUEUE = """
import: [trial_jobs]
workers: [{threads: 8, polling_interval: 0.2}]
supervisor: {heartbeat_interval: 1, process_alive_threshold: 60, shutdown_timeout: 3}
"""
NAMES = (
    *("success", "result", "coroutine", "failure", "retry", "snooze", "discard"),
    "long",
)
_PLACES = """
SELECT
    split_part(job.class_name, '.', 2),
    coalesce(job.outcome, CASE
        WHEN failed.job_id IS NOT NULL THEN 'failed'
        WHEN scheduled.job_id IS NOT NULL THEN 'scheduled'
        ELSE 'open'
    END),
    job.attempts,
    failed.error ->> 'message'
FROM jobsd.jobs AS job
LEFT JOIN jobsd.failed_executions AS failed ON failed.job_id = job.id
LEFT JOIN jobsd.scheduled_executions AS scheduled ON scheduled.job_id = job.id
"""
ENDED = {
    "success": ("finished", 1, None),
    "result": ("finished", 1, None),
    "coroutine": ("finished", 1, None),
    "failure": ("failed", 1, "in its own words"),
    "retry": ("scheduled", 1, None),
    "snooze": ("scheduled", 0, None),
    "discard": ("discarded", 1, None),
}
EMITTED = {
    **{("job.finished", name): 1 for name in ("success", "result", "coroutine", "long")},
    ("job.failed", "failure"): 1,
    ("job.retried", "retry"): 1,
    ("job.snoozed", "snooze"): 1,
    ("job.discarded", "discard"): 1,
    ("job.released", "long"): 1,
}


class Stopped:
    """A project whose tree has begun one job of each kind when the database goes away."""

    def __init__(self, root: Path, url: str, queue: str = QUEUE, **environ: str) -> None:
        self.url = url
        self.gate = root / "gate"
        root.mkdir(exist_ok=True)
        self.project = Project(
            root,
            url,
            LEDGER=str(root / "ledger"),
            JOBSD_LOG_LEVEL="debug",
            **{"GATE": str(self.gate), **environ},
        )
        self.project.write("trial_jobs.py", LEDGER + JOBS)
        self.project.write("config/queue.yml", queue)
        self.logs: list[Tree] = []

    def begin(self, tree: Tree) -> None:
        """Enqueue one job of each kind, and wait until all of them run."""
        self.logs.append(tree)
        tree.wait_event("supervisor.ready")
        with connect(self.url) as connection:
            for name in NAMES:
                attempts = 2 if name == "retry" else 1
                connection.execute(
                    "SELECT jobsd.enqueue(%s, '[]', max_attempts => %s)",
                    (f"trial_jobs.{name}", attempts),
                )
        wait_until(lambda: self.lines("began") == {*NAMES}, what=tree.reported)

    def end_jobs(self, tree: Tree) -> None:
        """Let all jobs but the long one end."""
        self.gate.touch()
        wait_until(lambda: self.lines("ended") == {*NAMES} - {"long"}, what=tree.reported)

    def lines(self, word: str) -> set[str]:
        """Return the jobs that have written this word."""
        return {line.split()[1] for line in ledger(self.project) if line.startswith(f"{word} ")}

    def check_without_stop(self, tree: Tree) -> None:
        """See that each job has ended as it did, once, though the tree has never stopped."""
        wait_until(
            lambda: self.places() == {**ENDED, "long": ("finished", 1, None)},
            what=tree.reported,
        )
        once = {key: n for key, n in EMITTED.items() if key != ("job.released", "long")}
        wait_until(lambda: self.emitted() == once, what=lambda: str(self.emitted()))
        wait_until(lambda: self.journals() == [])

    def places(self) -> dict[str, tuple[Any, ...]]:
        """Return state, attempts and error of each job."""
        with connect(self.url) as connection:
            return {name: tuple(rest) for name, *rest in connection.execute(_PLACES).fetchall()}

    def ids(self) -> dict[str, int]:
        """Return the id of each job."""
        query = "SELECT split_part(class_name, '.', 2), id FROM jobsd.jobs"
        with connect(self.url) as connection:
            return dict(connection.execute(query).fetchall())

    def monitors(self) -> int:
        """Return how many monitors have registered."""
        query = "SELECT count(*) FROM jobsd.processes WHERE kind = 'monitor'"
        with connect(self.url) as connection:
            return int(connection.execute(query).fetchall()[0][0])

    def emitted(self) -> dict[tuple[str, str], int]:
        """Return how often the end of each job was emitted, by all trees together."""
        ends = {event for event, _ in EMITTED}
        return dict(
            Counter(
                (event["event"], event["class_name"].partition(".")[2])
                for log in self.logs
                for event in log.events()
                if event["event"] in ends
            )
        )

    def check(self, tree: Tree) -> None:
        """See that each job has ended as it did, once; the long one has lost no attempt."""
        self.logs.append(tree)
        self.gate.with_name("gate.long").touch()
        wait_until(
            lambda: self.places() == {**ENDED, "long": ("finished", 1, None)},
            what=lambda: f"{self.places()}\n{tree.reported()}",
        )
        lines = Counter(ledger(self.project))
        assert {line: n for line, n in lines.items() if n > 1} == {"began long": 2}
        with connect(self.url) as connection:
            kept = connection.execute("SELECT state, result::text FROM jobsd.results")
            assert kept.fetchall() == [("finished", '[{"answer": 42}]')]
        wait_until(lambda: self.emitted() == EMITTED, what=lambda: str(self.emitted()))
        assert self.journals() == []

    def journals(self) -> list[Path]:
        """Return the journals that lie in the project."""
        return sorted(self.project.root.glob("storage/outcomes/*/*/*"))


@pytest.mark.failure(
    "A tree is stopped while the database is away: jobs have ended and could not be recorded,"
    " and another job still runs.",
    "Its workers keep the outcomes in a journal; the next tree records each of them once, and"
    " the job that ran goes back without an attempt.",
)
def test_a_stop_while_the_database_is_away_loses_no_outcome(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    stopped = Stopped(tmp_path, url)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        running.stop()
        tree.wait_event("database.unavailable")
        stopped.end_jobs(tree)

        tree.terminate(signal.SIGTERM)

        tree.assert_clean_exit()
        assert [path.stat().st_mode & 0o777 for path in stopped.journals()] == [0o600]

    running.start()
    with stopped.project.start() as tree:
        stopped.check(tree)
        tree.terminate()
        tree.assert_clean_exit()


@pytest.mark.failure(
    "The database is still away when the next tree starts, and when that one is stopped, too.",
    "The journals stay where they are, and the tree that reaches the database settles them"
    " before it claims anything.",
)
def test_a_journal_waits_for_the_tree_that_reaches_the_database(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    stopped = Stopped(tmp_path, url)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        running.stop()
        stopped.end_jobs(tree)
        tree.terminate()
    kept = stopped.journals()
    with stopped.project.start() as tree:
        tree.wait_event("supervisor.started")
        tree.terminate()
        tree.assert_clean_exit()
        assert stopped.journals() == kept

    with stopped.project.start() as tree:
        tree.wait_event("database.awaited")
        running.start()
        stopped.check(tree)

        settled = [event["event"] for event in tree.events()]
        assert settled.index("process.recovered") < settled.index("jobs.claimed")


@pytest.mark.failure(
    "Another tree of the same host, with a folder of its own, runs while a tree is stopped and"
    " the database is away.",
    "Once the database is back, its monitor reads the journals of the stopped tree before it"
    " recovers its processes.",
)
def test_a_neighbour_settles_the_journals_of_a_stopped_tree(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    stopped = Stopped(tmp_path / "one", url)
    other = Stopped(tmp_path / "other", url, GATE=str(stopped.gate))
    with stopped.project.start() as tree:
        stopped.begin(tree)
        with other.project.start(LEDGER=str(tmp_path / "one/ledger")) as neighbour:
            wait_until(lambda: stopped.monitors() == 2, what=neighbour.reported)
            running.stop()
            stopped.end_jobs(tree)
            tree.terminate()
            tree.assert_clean_exit()

            running.start()

            stopped.check(neighbour)


@pytest.mark.failure(
    "A tree is stopped while the database is away, and no journal can be written.",
    "An error event names each job and how it had ended, and the exit status is 74.",
)
def test_outcomes_that_can_not_be_kept_are_reported(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    stopped = Stopped(tmp_path, url)
    stopped.project.write("storage", "a file where the folder should be")
    with stopped.project.start() as tree:
        stopped.begin(tree)
        ids = stopped.ids()
        running.stop()
        tree.wait_event("database.unavailable")
        stopped.end_jobs(tree)

        tree.terminate()

        assert tree.process.returncode == 74
        (lost,) = tree.events("outcomes.lost")
        assert lost["level"] == "error"
        assert {outcome: sorted(jobs) for outcome, jobs in lost["outcomes"].items()} == {
            "finished": sorted(ids[name] for name in ("success", "result", "coroutine")),
            "failed": [ids["failure"]],
            "retried": [ids["retry"]],
            "snoozed": [ids["snooze"]],
            "discarded": [ids["discard"]],
            "released": [ids["long"]],
        }
        assert tree.events("supervisor.stopped")[0]["exit_status"] == 74


@pytest.mark.failure(
    "A worker is replaced by a reload while the database is away, and ends once it is back.",
    "It records its outcomes itself, and leaves no journal.",
)
def test_a_reload_while_the_database_is_away_loses_no_outcome(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    stopped = Stopped(tmp_path, url)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        running.stop()
        tree.wait_event("database.unavailable")
        tree.send(signal.SIGHUP)
        tree.wait_event("process.replaced", kind="worker")
        stopped.end_jobs(tree)
        wait_until(stopped.journals)

        running.start()

        stopped.gate.with_name("gate.long").touch()
        stopped.check_without_stop(tree)
