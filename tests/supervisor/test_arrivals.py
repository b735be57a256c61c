"""How many jobs have come is worked out of what is there and what has ended: never too many."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from harness.job_rows import make_jobs
from jobsd.configuration.options import WorkerOptions
from jobsd.metrics.figures import DatabaseFigures
from jobsd.operations.gauges import database_figures
from jobsd.scoreboard.queue_names import OTHERS, QUEUES_MAX
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import arrivals
from jobsd.supervisor.monitor.arrivals import Arrivals
from jobsd.supervisor.monitor.history import History
from jobsd.supervisor.monitor.scraping import desired_workers, threads_for

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows


class Counted:
    """What the monitor of one tree has: memory, its history, and what it works out."""

    def __init__(self, session: Session) -> None:
        self._session = session
        scoreboard = Scoreboard()
        entry = scoreboard.free_entry()
        assert entry is not None
        entry.take("worker", "worker-1")
        self.entry = entry
        self.history = History(session, scoreboard)
        self.arrivals = Arrivals()

    def enqueued(self, queue: str = "mail") -> int:
        """Return how many have come, as a scrape says it."""
        ended = self.history.ended()
        figures = database_figures(self._session, ())
        return self.arrivals.update(self._session, figures, ended).get(queue, 0)


class Queue:
    """A queue whose jobs come, end, fail and go."""

    def __init__(self, session: Session, rows: Rows, name: str = "mail") -> None:
        self._session = session
        self._rows = rows
        self.name = name

    def enqueue(self, jobs: int) -> None:
        """Let so many jobs come."""
        ids = make_jobs(self._session, jobs, queue_name=self.name)
        self._rows(
            "INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
            " SELECT id, id, 0, %s FROM unnest(%s::bigint[]) AS id",
            self.name,
            ids,
        )

    def take(self, jobs: int) -> list[int]:
        """Take so many ready jobs away."""
        return self._rows(
            "DELETE FROM jobsd.ready_executions WHERE job_id IN (SELECT job_id FROM"
            " jobsd.ready_executions WHERE queue_name = %s ORDER BY job_id LIMIT %s)"
            " RETURNING job_id",
            self.name,
            jobs,
        )

    def finish(self, tree: Counted, jobs: int) -> None:
        """Let a tree end so many."""
        tree.entry.queue(self.name).count("finished", len(self.take(jobs)))

    def fail(self, tree: Counted, jobs: int) -> None:
        """Let so many fail: they are there still."""
        for job_id in self.take(jobs):
            self._rows(
                "INSERT INTO jobsd.failed_executions (job_id, error) VALUES (%s, '{}')", job_id
            )
            tree.entry.queue(self.name).count("failed")


@pytest.fixture
def tree(session: Session) -> Counted:
    return Counted(session)


@pytest.fixture
def mail(session: Session, rows: Rows) -> Queue:
    return Queue(session, rows)


def test_the_count_of_enqueued_jobs_does_not_change_with_their_outcome(
    tree: Counted, mail: Queue
) -> None:
    mail.enqueue(5)
    seen = [tree.enqueued()]
    mail.finish(tree, 2)
    seen.append(tree.enqueued())
    tree.history.write()
    mail.fail(tree, 1)
    seen.append(tree.enqueued())
    mail.enqueue(3)
    seen.append(tree.enqueued())

    assert seen == [5, 5, 5, 8]


@pytest.mark.parametrize("seed", range(3))
def test_a_single_tree_is_exact_at_every_moment(tree: Counted, mail: Queue, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    came = 0
    for _ in range(25):
        match chance.choice(["enqueue", "finish", "fail", "write"]):
            case "enqueue":
                came += (more := chance.randrange(1, 4))
                mail.enqueue(more)
            case "finish":
                mail.finish(tree, chance.randrange(1, 4))
            case "fail":
                mail.fail(tree, 1)
            case _:
                tree.history.write()
        assert tree.enqueued() == came


def test_jobs_ended_by_another_tree_are_counted_late_and_never_twice(
    session: Session, tree: Counted, mail: Queue
) -> None:
    other = Counted(session)
    mail.enqueue(4)
    assert tree.enqueued() == 4
    mail.finish(other, 3)
    mail.enqueue(3)

    late = tree.enqueued()
    other.history.write()

    assert (late, tree.enqueued(), other.enqueued()) == (4, 7, 7)


def test_nothing_goes_back_when_jobs_are_taken_away_and_later_ones_are_seen(
    tree: Counted, mail: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(arrivals, "monotonic", lambda: now[0])
    mail.enqueue(5)
    seen = [tree.enqueued()]
    mail.take(2)
    seen.append(tree.enqueued())
    now[0] += arrivals.LACK_S
    seen.append(tree.enqueued())
    mail.enqueue(1)
    seen.append(tree.enqueued())

    assert seen == [5, 5, 5, 6]


def test_a_lack_that_was_made_good_meanwhile_does_not_last(
    tree: Counted, mail: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(arrivals, "monotonic", lambda: now[0])
    mail.enqueue(5)
    tree.enqueued()
    mail.take(2)
    tree.enqueued()
    mail.enqueue(2)
    seen = [tree.enqueued()]
    now[0] += arrivals.LACK_S
    mail.take(1)
    seen.append(tree.enqueued())
    mail.enqueue(1)
    seen.append(tree.enqueued())

    assert seen == [5, 5, 5]


def test_a_following_monitor_continues_from_the_stored_count(
    session: Session, tree: Counted, mail: Queue
) -> None:
    mail.enqueue(5)
    assert tree.enqueued() == 5
    mail.take(5)

    assert Counted(session).enqueued() == 5


def test_while_history_is_written_nothing_is_worked_out(
    session: Session, tree: Counted, mail: Queue
) -> None:
    mail.enqueue(5)
    figures = database_figures(session, ())

    assert tree.arrivals.update(session, figures, None) == {}


def test_a_scrape_that_finds_nothing_new_writes_nothing(
    tree: Counted, mail: Queue, rows: Rows
) -> None:
    mail.enqueue(5)
    tree.enqueued()
    before = rows("SELECT xmin::text FROM jobsd.arrivals")
    tree.enqueued()

    assert rows("SELECT xmin::text FROM jobsd.arrivals") == before


def test_queues_that_a_tree_counts_together_have_come_together(
    session: Session, rows: Rows, tree: Counted
) -> None:
    for number in range(QUEUES_MAX):
        tree.entry.queue(f"queue-{number}")
    first, last = Queue(session, rows, "queue-0"), Queue(session, rows, "one-more")
    last.enqueue(2)
    last.finish(tree, 1)
    first.enqueue(3)
    first.finish(tree, 1)

    assert [tree.enqueued(name) for name in (OTHERS, "one-more", "queue-0")] == [2, 0, 3]


def _figures(ready: int, claimed: int = 0, **more: object) -> DatabaseFigures:
    return DatabaseFigures(
        depths={"mail": {"ready": ready, "claimed": claimed}},
        latencies_s={},
        claim_ages_s={"mail": 60.0} if claimed else {},
        processes={},
        heartbeat_ages_s={},
        tasks={},
        **more,  # type: ignore[arg-type]
    )


class _Coming(Arrivals):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate

    def rate(self, queue: str) -> float:
        assert queue == "mail"
        return self._rate


@pytest.mark.parametrize(
    ("rate", "figures", "workers"),
    [
        pytest.param(0.0, _figures(0), 0, id="nothing to do"),
        pytest.param(0.0, _figures(1), 1, id="one job of an unknown run time"),
        pytest.param(8.0, _figures(0, run_times_s={"mail": 0.5}), 2, id="5 threads keep up"),
        pytest.param(
            0.0, _figures(600, run_times_s={"mail": 0.5}), 4, id="10 threads catch up"
        ),
        pytest.param(8.0, _figures(600, run_times_s={"mail": 0.5}), 5, id="15 do both"),
        pytest.param(
            0.0, _figures(3, claimed=1), 2, id="none has ended, the first runs for 60 s"
        ),
        pytest.param(
            8.0,
            _figures(600, run_times_s={"mail": 0.5}, paused=frozenset({"mail"})),
            0,
            id="paused",
        ),
        pytest.param(0.0, _figures(0, claimed=1), 1, id="a job that runs keeps its worker"),
    ],
)
def test_desired_workers_follow_the_formula(
    rate: float, figures: DatabaseFigures, workers: int
) -> None:
    groups = (
        WorkerOptions(queues=("night",), threads=50),
        WorkerOptions(queues=("m*",), threads=3),
    )

    desired = desired_workers(figures, _Coming(rate), groups, {"default": 30.0})

    assert desired == {"mail": workers}


@pytest.mark.parametrize(
    ("targets_s", "workers"),
    [
        ({"mail": 30.0}, {"mail": 4}),
        ({"default": 60.0}, {"mail": 2}),
        ({"default": 60.0, "mail": 30.0}, {"mail": 4}),
        ({"night": 30.0}, {}),
    ],
)
def test_each_queue_has_its_own_target_and_none_is_reported_without_one(
    targets_s: dict[str, float], workers: dict[str, int]
) -> None:
    figures = _figures(600, run_times_s={"mail": 0.5})

    assert desired_workers(figures, _Coming(0.0), (), targets_s) == workers


def test_the_threads_are_those_of_the_first_group_that_takes_from_the_queue() -> None:
    groups = (
        WorkerOptions(queues=("mail_*",), threads=7),
        WorkerOptions(queues=("*",), threads=2),
    )

    assert [threads_for(queue, groups) for queue in ("mail_a", "mail")] == [7, 2]
    assert threads_for("mail", groups[:1]) == 3


def test_a_rate_is_that_of_the_last_minutes(
    tree: Counted, mail: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(arrivals, "monotonic", lambda: now[0])
    assert tree.arrivals.rate("mail") == 0
    mail.enqueue(1)
    for _ in range(2):
        tree.enqueued()
    assert tree.arrivals.rate("mail") == 0, "both readings are of one moment"
    for _ in range(8):
        tree.enqueued()
        now[0] += 60
        mail.enqueue(6)

    assert tree.enqueued() == 49
    assert tree.arrivals.rate("mail") == pytest.approx(0.1)
