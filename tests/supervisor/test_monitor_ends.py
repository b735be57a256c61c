"""What the monitor ends: an emptied tree, a stuck worker, the rows of its tree."""

from __future__ import annotations

import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from harness.job_rows import claim, make_jobs
from harness.monitor_options import make_options
from jobsd.clock import monotonic_ns
from jobsd.configuration.options import WorkerOptions
from jobsd.database.connection import Target
from jobsd.database.steps import latest_version
from jobsd.processes import registry
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.scoreboard.thresholds import Thresholds
from jobsd.states.claims import InClaim
from jobsd.supervisor.monitor import emptiness, forced
from jobsd.supervisor.monitor.emptiness import Emptiness
from jobsd.supervisor.monitor.forced import CHECK_S, STATEMENTS, STUCK_S, ForcedCancels
from jobsd.supervisor.monitor.heartbeats import Beat, leave, write_heartbeats
from jobsd.supervisor.monitor.membership import Membership

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.scoreboard.entry import ScoreboardEntry
    from rows import Rows

NOWHERE = Target("postgresql://nowhere")
SUPERVISOR = 4_000_000


# A tree that is to end when it is empty.


class Emptied:
    """A tree with a clock to turn, the answers of its checks, and the signals it sends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.takes_s, self.is_left = 1_000.0, 0.0, False
        self.asked: list[Any] = []
        self.signals: list[tuple[int, int]] = []
        monkeypatch.setattr(emptiness, "monotonic", lambda: self.now_s)
        monkeypatch.setattr("os.kill", self._signal)
        scoreboard = Scoreboard()
        scoreboard.supervisor_pid = SUPERVISOR
        workers = (
            WorkerOptions(queues=("mail", "news")),
            WorkerOptions(queues=("news",)),
            WorkerOptions(queues=("off",), processes=0),
        )
        options = replace(make_options(NOWHERE), until_empty=True, workers=workers)
        session = cast("Session", SimpleNamespace(fetch=self._fetch))
        self.emptiness = Emptiness(session, scoreboard, options)

    def _signal(self, pid: int, number: int) -> None:
        self.signals.append((pid, number))

    def _fetch(self, _statement: object, given: Any) -> list[list[bool]]:
        self.asked.append(given["queues"])
        self.now_s += self.takes_s
        return [[self.is_left]]


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> Emptied:
    return Emptied(monkeypatch)


@pytest.mark.parametrize("parent", [SUPERVISOR, 1])
def test_an_emptied_tree_ends_its_own_supervisor_once(
    emptied: Emptied, monkeypatch: pytest.MonkeyPatch, parent: int
) -> None:
    monkeypatch.setattr("os.getppid", lambda: parent)
    for _ in range(3):
        assert emptied.emptiness.poll() == float("inf")

    expected = [(SUPERVISOR, signal.SIGTERM)] if parent == SUPERVISOR else []
    assert emptied.signals == expected
    assert emptied.asked == [["mail", "news"]]


@pytest.mark.parametrize(("takes_s", "rest_s"), [(0.0, 0.5), (3.0, 60.0)])
def test_checks_of_full_queues_are_rare(
    emptied: Emptied, takes_s: float, rest_s: float
) -> None:
    emptied.is_left, emptied.takes_s = True, takes_s
    emptied.emptiness.poll()
    emptied.now_s += rest_s - 0.1
    emptied.emptiness.poll()
    assert len(emptied.asked) == 1
    emptied.now_s += 0.2
    emptied.emptiness.poll()

    assert len(emptied.asked) == 2


# Cancels by force.


class Forced:
    """A worker's entry, a clock to turn, and what the database says of forced cancels."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns, self.notified, self.asked = 10**12, False, 0
        self.rows: list[tuple[int, int, int, float]] = []
        monkeypatch.setattr(forced, "monotonic_ns", lambda: self.now_ns)
        scoreboard = Scoreboard()
        self.entry: ScoreboardEntry = scoreboard.entries[0]
        self.entry.take("worker", "worker-1")
        self.entry.row_id, self.entry.ticked_ns = 7, self.now_ns - 10**9
        self.tick_age_s = STUCK_S + 1
        monkeypatch.setattr(type(self.entry), "tick_age_s", property(lambda _: self.tick_age_s))
        session = SimpleNamespace(listening=True, fetch=self._fetch)
        self.cancels = ForcedCancels(cast("Session", session), scoreboard, 10.0)

    def poll(self) -> float:
        return self.cancels.poll(notified=self.notified)

    def _fetch(self, *_: object) -> list[tuple[int, int, int, float]]:
        self.asked += 1
        return self.rows


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Forced:
    return Forced(monkeypatch)


def test_of_two_forced_jobs_of_a_stuck_worker_the_first_ends_it(worker: Forced) -> None:
    worker.rows = [(7, 2, 70, 5.0), (7, 3, 70, 5.0)]
    for slot, job_id in enumerate((2, 3)):
        worker.entry.started(slot, job_id, 70)
    for _ in range(2):
        worker.poll()

        assert worker.entry.forced_job == InClaim(2, 70)


def test_a_forced_job_that_runs_elsewhere_ends_no_process(worker: Forced) -> None:
    worker.rows = [(7, 1, 70, 5.0), (7, 2, 71, 5.0)]
    worker.entry.started(0, 2, 70)
    worker.poll()

    assert (worker.asked, worker.entry.forced) == (1, 0)


def test_workers_with_jobs_are_checked_each_second_and_idle_ones_never(
    worker: Forced,
) -> None:
    assert (worker.poll(), worker.asked) == (float("inf"), 0)
    worker.entry.started(0, 2, 70)

    assert (worker.poll(), worker.asked) == (CHECK_S, 1)


def test_notices_without_end_postpone_no_check(worker: Forced) -> None:
    worker.entry.started(0, 2, 70)
    worker.tick_age_s, worker.notified = 0.0, True
    for _ in range(4):
        worker.poll()
        worker.now_ns += 500_000_000

    assert worker.asked


def test_a_forced_job_is_returned_with_its_grace_unless_it_has_ended(
    session: Session,
) -> None:
    first, second = make_jobs(session, 2)
    claim_id = claim(session, 7, [first, second])
    session.connection.execute(
        "UPDATE jobsd.claims SET forced = job_ids, job_ids = ARRAY[%s::bigint]", (second,)
    )

    asked = STATEMENTS["forced"], {"process_ids": [7], "kill_after_s": 10.0}
    assert session.fetch(*asked) == [(7, second, claim_id, 10.0)]

    session.connection.execute(
        "INSERT INTO jobsd.definitions (class_name, queue_name, priority, max_attempts,"
        " retries_crash, kill_after)"
        " SELECT class_name, 'default', 0, 1, false, '3 s' FROM jobsd.jobs WHERE id = %s",
        (second,),
    )
    assert session.fetch(*asked) == [(7, second, claim_id, 3.0)]


# The rows of a tree.


def _register(session: Session, name: str, **metadata: object) -> int:
    return registry.register(
        session, kind="worker", name=name, supervisor_id=0, metadata=metadata
    )


def test_rows_of_a_tree_go_with_their_sleepers_by_number_and_by_name(
    session: Session, rows: Rows
) -> None:
    ours = _register(session, "ours")
    for name in ("by-name", "other"):
        _register(session, name)
    rows("INSERT INTO jobsd.sleepers SELECT id, kind FROM jobsd.processes")
    leave(session, [ours], ["by-name"], 4_000_000)

    assert rows("SELECT name FROM jobsd.processes") == ["other"]
    assert ours not in rows("SELECT process_id FROM jobsd.sleepers")


def test_a_survey_knows_heartbeats_of_tasks_journals_and_supervisors(
    session: Session, rows: Rows
) -> None:
    ours = _register(session, "ours")
    _register(session, "other", journals="/somewhere")
    rows(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
        " VALUES (now(), 'test', 'here')"
    )
    seen = write_heartbeats(session, [Beat(ours, monotonic_ns(), 0)])

    assert [str(each.journals) for each in seen.others] == ["/somewhere"]
    assert seen.heartbeats.of_any.executed_at is not None
    assert seen.heartbeats.of_task.executed_at is None
    assert rows("SELECT supervisor_id FROM jobsd.processes WHERE id = %s", ours) == [None]


def test_the_rows_of_a_tree_have_its_tables_and_its_thresholds(session: Session) -> None:
    scoreboard = Scoreboard()
    scoreboard.supervisor_pid, scoreboard.thresholds = SUPERVISOR, Thresholds(2, 9, 4)
    entry = scoreboard.entries[0]
    entry.take("monitor", "monitor-1")
    Membership(Context(scoreboard, entry, entry.name), session, {}).register()

    stored = {row.kind: row.metadata for row in registry.processes(session)}

    assert stored["supervisor"]["tables"] == latest_version()
    ours = Thresholds(2, 9, 4).metadata().items()
    assert all(ours <= stored[kind].items() for kind in ("supervisor", "monitor"))
