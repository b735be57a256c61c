"""The second half of what the monitor says of its tree: health, ages, rows, tables."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from harness.monitor_options import heartbeat_task, make_options
from jobsd.database.connection import Target
from jobsd.database.other_build import OtherBuildError
from jobsd.errors import SchemaError
from jobsd.processes import registry
from jobsd.processes.context import Context
from jobsd.schedules import Schedule, ScheduleError
from jobsd.scoreboard.entry import UP
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import health, heartbeats, schema
from jobsd.supervisor.monitor.health import WITHIN_S, Expected
from jobsd.supervisor.monitor.heartbeats import (
    Beat,
    LastHeartbeat,
    LastHeartbeats,
    Survey,
    write_heartbeats,
)
from jobsd.supervisor.monitor.membership import Membership, supervisor_name

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session
    from jobsd.supervisor.recovery.peers import PeerProcess

NOWHERE = Target("postgresql://nowhere")
WORKER = Expected({"worker": 1}, None)


def _nothing() -> None:
    pass


@pytest.fixture
def scoreboard() -> Scoreboard:
    """The memory of a tree that is ready, with a worker that is up."""
    scoreboard = Scoreboard()
    scoreboard.supervisor_name = "supervisor-test"
    scoreboard.ready = scoreboard.database_up = 1
    worker = scoreboard.entries[0]
    worker.take("worker", "worker-1")
    worker.tick()
    assert worker.state == UP
    return scoreboard


# Health.


def test_one_of_two_workers_does_not_make_a_tree_ready(scoreboard: Scoreboard) -> None:
    assert health.ready(scoreboard, WORKER).good
    answer = health.ready(scoreboard, Expected({"worker": 3}, None))

    assert (answer.good, answer.facts["missing"]) == (False, {"worker": 2})


def test_without_a_heartbeat_task_a_tree_needs_its_database_to_be_healthy(
    scoreboard: Scoreboard,
) -> None:
    assert health.healthy(scoreboard, WORKER, LastHeartbeats()).good
    scoreboard.database_up = 0

    assert not health.healthy(scoreboard, WORKER, LastHeartbeats()).good


def test_a_process_that_still_starts_is_not_up(scoreboard: Scoreboard) -> None:
    scoreboard.entries[1].take("worker", "worker-2")

    assert health.ready(scoreboard, WORKER).facts["processes"] == {"worker": 1}


def test_the_period_of_a_heartbeat_is_its_longest_pause() -> None:
    uneven = replace(heartbeat_task("0 8,9 * * *"), class_name="HeartbeatJob")
    options = make_options(NOWHERE, tasks=(uneven,), schedules=True)

    assert Expected.by(options).heartbeat_within_s == 2 * 23 * 3_600
    off = replace(options, schedules=False)
    assert Expected.by(off).heartbeat_within_s is None


def test_a_heartbeat_of_unknown_period_is_expected_within_ten_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object) -> None:
        raise ScheduleError("it has no further run")

    monkeypatch.setattr(Schedule, "upcoming", unknown)
    options = make_options(NOWHERE, tasks=(heartbeat_task("every hour"),), schedules=True)

    assert Expected.by(options).heartbeat_within_s == WITHIN_S


def test_the_age_of_a_heartbeat_grows_after_its_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeats, "monotonic", lambda: 107.0)

    assert LastHeartbeat(None, 5.0, seen_at=100.0).age_s == 12.0


# Metadata of foreign rows.


def _peer(row: list[Any]) -> PeerProcess:
    """Return the process of a row as a survey reads it."""
    fetched: list[Any] = [([], [row], [], None, None, None, None, [], False)]

    def fetch(*_: object) -> list[Any]:
        return fetched

    session = SimpleNamespace(fetch=fetch)
    (peer,) = write_heartbeats(cast("Session", session), []).others
    return peer


@pytest.mark.parametrize(
    ("said", "number"), [("12", 12), ("1" * 5_000, 0), ("\u00b2", 0), ("-1", 0), (None, 0)]
)
def test_numbers_in_metadata_that_nobody_wrote_so_are_zero(
    said: str | None, number: int
) -> None:
    row = [1, "worker", "w", 2, "here", 0.0, *[None] * 5, said, *[None] * 4]

    assert _peer(row).threads == number


@pytest.mark.parametrize(
    ("pid", "started", "supervisor"),
    [("7", "12", (7, "12")), ("7", None, None), (None, "12", None)],
)
def test_a_supervisor_is_known_by_its_number_and_its_start(
    pid: str | None, started: str | None, supervisor: tuple[int, str] | None
) -> None:
    row = [
        1,
        "worker",
        "w",
        2,
        "here",
        0.0,
        "b",
        "n",
        "1",
        pid,
        started,
        "3",
        "/j",
        *[None] * 3,
    ]

    peer = _peer(row)

    assert peer.supervisor == supervisor
    assert (peer.threads, str(peer.journals)) == (3, "/j")


# The rows of the tree.


@pytest.fixture
def membership(scoreboard: Scoreboard, monkeypatch: pytest.MonkeyPatch) -> Membership:
    entry = scoreboard.entries[1]
    entry.take("monitor", "monitor-1")
    entry.row_id, scoreboard.supervisor_row, scoreboard.entries[0].row_id = 2, 1, 3
    made = Membership(Context(scoreboard, entry, entry.name), cast("Session", None), {})
    monkeypatch.setattr(made, "register", lambda: setattr(scoreboard, "supervisor_row", 7))
    return made


def _survey(beaten: set[int]) -> Survey:
    return Survey(frozenset(beaten), [], [], LastHeartbeats())


def test_each_process_learns_of_its_own_heartbeat(
    membership: Membership, scoreboard: Scoreboard
) -> None:
    beats = [Beat(1, 900, 0), Beat(2, 800, 1), Beat(3, 100, 1)]
    membership.check(beats, _survey({1, 2, 3}))

    assert [entry.heartbeat_ns for entry in scoreboard.entries[:2]] == [100, 800]


@pytest.mark.parametrize(
    ("beaten", "gone"),
    [
        ({3}, [("supervisor", "supervisor-test", 1), ("monitor", "monitor-1", 2)]),
        ({2, 3}, [("supervisor", "supervisor-test", 1)]),
        ({1, 3}, [("monitor", "monitor-1", 2)]),
        ({1, 2, 3}, []),
    ],
)
def test_deleted_rows_of_supervisor_and_monitor_are_reported_and_written_again(
    membership: Membership,
    scoreboard: Scoreboard,
    recorder: EventRecorder,
    beaten: set[int],
    gone: list[tuple[str, str, int]],
) -> None:
    reported = recorder.facts("process.deregistered")
    membership.check([Beat(1, 9, 0), Beat(2, 9, 1), Beat(3, 9, 1)], _survey(beaten))

    found = [(facts["kind"], facts["process"], facts["row_id"]) for facts in reported]
    assert found == gone
    assert scoreboard.supervisor_row == (7 if gone else 1)


def test_claims_of_our_own_dead_process_are_not_orphaned(
    membership: Membership, scoreboard: Scoreboard
) -> None:
    scoreboard.entries[0].record_exit(9, "signal", 0)

    assert membership.holds_claims_of(3)
    assert not membership.holds_claims_of(4)


def test_a_supervisor_without_a_name_has_another_one_than_its_predecessor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scoreboard, starts = Scoreboard(), iter(("100", "100", "200"))
    scoreboard.supervisor_pid = 7

    def start_time(_: int) -> str:
        return next(starts)

    monkeypatch.setattr(registry, "start_time", start_time)
    first, same, other = (supervisor_name(scoreboard) for _ in range(3))

    assert first == same != other


def test_an_older_row_of_our_own_supervisor_is_ours(membership: Membership) -> None:
    # The monitor's entry is only taken yet.
    for name in ("supervisor-test", "worker-1", "monitor-1"):
        assert membership.has(cast("Any", SimpleNamespace(name=name)))
    assert not membership.has(cast("Any", SimpleNamespace(name="other")))


# The tables.


class Tables:
    """The tables of a monitor: each check takes the next outcome, or the last one again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.checks = 1_000.0, 0
        self.outcome: Exception | list[str] = []
        self.schema = schema.Schema(NOWHERE)
        monkeypatch.setattr(schema, "monotonic", lambda: self.now_s)
        monkeypatch.setattr("jobsd.database.migrate.bring_up", self._bring_up)

    def _bring_up(self, *_: object) -> list[str]:
        self.checks += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Tables:
    return Tables(monkeypatch)


@pytest.mark.parametrize("error", [OtherBuildError, SchemaError])
def test_tables_that_can_not_be_used_are_checked_each_five_seconds(
    tables: Tables, error: type[Exception]
) -> None:
    tables.outcome = cast("Any", error).__new__(error)
    for _ in range(3):
        with contextlib.suppress(OtherBuildError):
            assert not tables.schema.ready(_nothing)
    assert tables.checks == 1

    tables.now_s += schema.AGAIN_S
    tables.outcome = []
    assert tables.schema.ready(_nothing)


def test_tables_that_are_outdated_again_are_reported_again(
    tables: Tables, recorder: EventRecorder
) -> None:
    reported = recorder.events("schema.outdated", "database.migrated")
    for outcome in (SchemaError("old"), ["0001"], SchemaError("old"), []):
        tables.outcome = outcome
        tables.now_s += schema.AGAIN_S
        tables.schema.are_gone()
        tables.schema.ready(_nothing)

    names = [name for name, _ in reported]
    assert names == ["schema.outdated", "database.migrated", "schema.outdated"]


def test_a_check_that_waits_shows_that_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, seen = threading.Event(), list[bool]()

    def bring_up(*_: object) -> list[str]:
        seen.append(shown.wait(10.0))
        return []

    monkeypatch.setattr("jobsd.database.migrate.bring_up", bring_up)

    assert schema.Schema(NOWHERE).ready(shown.set)
    assert seen == [True]
