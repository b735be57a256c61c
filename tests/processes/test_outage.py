"""An outage is one event for a tree, however many of its processes suffer it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.database.names import StillLookingUpError
from jobsd.database.other_build import OtherBuildError
from jobsd.errors import SchemaError
from jobsd.events.events import Event, subscribe
from jobsd.processes.outage import PAUSE_MAX_S, PAUSE_MIN_S, Outage, begin
from jobsd.scoreboard.entry import DEAD
from jobsd.scoreboard.scoreboard import Scoreboard

if TYPE_CHECKING:
    from harness.event_recorder import Emitted, EventRecorder


LOST = psycopg.OperationalError("the server\n  went away")


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard()


@pytest.fixture
def reported(recorder: EventRecorder) -> Emitted:
    return recorder.events()


def _process(scoreboard: Scoreboard, name: str) -> Outage:
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("worker", name)
    entry.row_id = entry.index + 1
    return Outage(scoreboard, entry)


def _errors(reported: Emitted) -> list[tuple[str, Any]]:
    return [(name, facts.get("error")) for name, facts in reported]


def _suffer(*outages: Outage) -> None:
    for _ in range(2):
        for outage in outages:
            outage.note(LOST)


LOST_AND_BACK = [("database.unavailable", "the server went away"), ("database.available", None)]


def test_outages_are_counted_and_how_long_they_last(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one, other = _process(scoreboard, "one"), _process(scoreboard, "other")
    for times in (1, 2):
        _suffer(one, other)
        scoreboard.outage_since_ns -= 5_000_000_000
        one.over()
        assert scoreboard.outages == times
        assert scoreboard.outage_ns < times * 5e9, "it is not over while one process has it"
        other.over()

    assert 10e9 <= scoreboard.outage_ns < 18e9
    assert len(reported) == 4


def test_the_first_to_fail_and_the_last_to_recover_report_it(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one, other = _process(scoreboard, "one"), _process(scoreboard, "other")
    one.over()

    _suffer(one, other)
    one.over()
    assert _errors(reported) == LOST_AND_BACK[:1]
    other.over()

    assert _errors(reported) == LOST_AND_BACK


def test_the_outage_of_a_process_that_died_meanwhile_is_reported_by_the_others(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one, other = _process(scoreboard, "one"), _process(scoreboard, "other")
    one.over()
    _suffer(other)
    scoreboard.entries[1].record_exit(0, "signal", 0)
    assert scoreboard.entries[1].state == DEAD

    one.over()

    assert _errors(reported) == LOST_AND_BACK


def test_an_entry_is_used_again_without_the_outage_of_the_dead(scoreboard: Scoreboard) -> None:
    one = _process(scoreboard, "one")
    _suffer(one)
    entry = scoreboard.entries[0]

    entry.take("worker", "two")

    assert entry.database_down == 0


def test_an_outage_from_before_the_start_is_ended_by_any_process_that_connects(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    begin(scoreboard, LOST)
    one = _process(scoreboard, "one")

    one.over()

    assert _errors(reported) == [
        ("database.awaited", "the server went away"),
        ("database.available", None),
    ]


def test_a_process_that_has_no_database_does_not_call_it_back(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    begin(scoreboard, LOST)
    one = _process(scoreboard, "one")
    scoreboard.entries[0].row_id = 0

    one.over()

    assert _errors(reported) == [("database.awaited", "the server went away")]


def test_it_is_tried_again_at_once_and_then_within_a_second(scoreboard: Scoreboard) -> None:
    one = _process(scoreboard, "one")

    rests = [one.note(LOST) for _ in range(7)]

    assert rests == [0.0, PAUSE_MIN_S, 0.2, 0.4, 0.8, PAUSE_MAX_S, PAUSE_MAX_S]


ILL = [
    psycopg.errors.DiskFull("no space left"),
    psycopg.errors.OutOfMemory("no memory left"),
    psycopg.errors.TooManyConnections("no connection left"),
    psycopg.errors.IoError("the disk fails"),
    psycopg.errors.CrashShutdown("the server has crashed"),
]
WELL = [
    psycopg.OperationalError("the server went away"),
    psycopg.errors.AdminShutdown("it was reported to"),
    psycopg.errors.DeadlockDetected("one of two"),
    psycopg.InterfaceError("the connection is closed"),
]


@pytest.mark.failure(
    "The database fails now and then: its disk is full, its memory or connections are used up.",
    "It is an outage each time, however soon the next statement succeeds",
)
@pytest.mark.parametrize("error", ILL, ids=lambda error: type(error).__name__)
def test_an_error_of_the_server_is_an_outage_at_once(
    scoreboard: Scoreboard, reported: Emitted, error: psycopg.Error
) -> None:
    one = _process(scoreboard, "one")
    one.over()

    one.note(error)
    one.over()

    assert _errors(reported) == [
        ("database.unavailable", str(error)),
        ("database.available", None),
    ]


@pytest.mark.parametrize("error", WELL, ids=lambda error: type(error).__name__)
def test_a_connection_that_was_cut_once_is_no_outage(
    scoreboard: Scoreboard, reported: Emitted, error: psycopg.Error
) -> None:
    one = _process(scoreboard, "one")
    one.over()

    assert one.note(error) == 0.0
    one.over()

    assert _errors(reported) == [("database.reconnected", str(error))]


def test_what_fails_now_and_then_is_tried_as_seldom_as_what_fails_always(
    scoreboard: Scoreboard,
) -> None:
    one = _process(scoreboard, "one")
    rests: list[float] = []

    for _ in range(6):
        rests.append(one.note(ILL[0]))
        one.over()

    assert rests == [PAUSE_MIN_S, 0.2, 0.4, 0.8, PAUSE_MAX_S, PAUSE_MAX_S]


def test_of_many_that_suffer_at_the_same_moment_one_speaks(scoreboard: Scoreboard) -> None:
    scoreboard.database_seen = 1
    outages = [_process(scoreboard, f"worker-{n}") for n in range(20)]
    barrier, starter = os.pipe()
    reader, writer = os.pipe()
    pids = [_fork(outage, barrier, writer) for outage in outages]

    os.write(starter, b"x" * len(pids))
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(writer)

    assert statuses == [0] * len(pids)
    assert os.read(reader, 100) == b"!"
    for descriptor in (barrier, starter, reader):
        os.close(descriptor)


def _fork(outage: Outage, barrier: int, writer: int) -> int:
    """Start a process that suffers once it is let go, and writes a mark for what it tells."""
    pid = os.fork()
    if pid == 0:

        def hear(_event: Event, _facts: dict[str, Any]) -> None:
            os.write(writer, b"!")

        subscribe(hear)
        os.read(barrier, 1)
        try:
            _suffer(outage)
        finally:
            os._exit(0)
    return pid


def test_what_an_attempt_has_taken_is_not_waited_again(
    scoreboard: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("jobsd.processes.outage.monotonic", lambda: now)
    worker = _process(scoreboard, "one")
    rests = [worker.note(LOST) for _ in range(8)]
    assert (rests[0], rests[1], rests[-1]) == (0.0, PAUSE_MIN_S, PAUSE_MAX_S)

    for took_s, rest_s in ((0.4, 0.6), (3.0, PAUSE_MIN_S), (0.0, PAUSE_MAX_S)):
        now += rests[-1] + took_s
        rests.append(worker.note(LOST))
        assert rests[-1] == pytest.approx(rest_s)

    worker.over()
    now += 3600
    assert worker.note(LOST) == 0.0, "how long all was well is no attempt"
    assert worker.note(LOST) == PAUSE_MIN_S


LACKS = psycopg.errors.UndefinedFunction("function f() does not exist\nLINE 1: SELECT f()")
FOREIGN = OtherBuildError("the tables are of another build")
SAID = [
    ("schema.foreign", "function f() does not exist LINE 1: SELECT f()"),
    ("schema.foreign", "the tables are of another build"),
]


def test_a_missing_column_is_reported_once_after_a_second_try(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one, other = _process(scoreboard, "one"), _process(scoreboard, "other")

    assert one.note(LACKS) == 0.0
    assert reported == []
    one.recognized()
    assert one.note(LACKS) == pytest.approx(PAUSE_MAX_S, abs=0.1)
    # A table may be missed while a process registers, too.
    assert other.note(LACKS) == 0.0
    assert other.note(LACKS) == pytest.approx(PAUSE_MAX_S, abs=0.1)
    for outage in (one, other):
        outage.over()
        outage.note(LACKS)
        outage.recognized()

    assert _errors(reported) == SAID[:1]
    assert (scoreboard.outages, scoreboard.tables_are_foreign) == (0, False)


def test_tables_that_are_missing_are_the_monitors_to_report(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one = _process(scoreboard, "one")

    assert one.note(LACKS) == 0.0
    for _ in range(2):
        assert one.note(SchemaError("missing")) == pytest.approx(PAUSE_MAX_S, abs=0.1)
    one.recognized()
    one.over()

    assert reported == []


def test_tables_of_another_build_are_reported_each_time_they_come(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one, other = _process(scoreboard, "one"), _process(scoreboard, "other")
    for _ in range(2):
        for outage in (one, other, one):
            assert outage.note(FOREIGN) == pytest.approx(PAUSE_MAX_S, abs=0.1)
        assert scoreboard.tables_are_foreign
        for outage in (one, other):
            outage.recognized()
            outage.over()
        assert not scoreboard.tables_are_foreign

    assert _errors(reported) == SAID[1:] * 2


def test_an_outage_is_over_when_the_server_answers_with_foreign_tables(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one = _process(scoreboard, "one")
    _suffer(one)
    one.note(FOREIGN)
    _suffer(one)
    one.note(FOREIGN)

    assert [name for name, _ in reported] == [
        "database.awaited",
        "database.available",
        "schema.foreign",
        "database.unavailable",
        "database.available",
    ]


@pytest.mark.parametrize("error", [LACKS, FOREIGN, SchemaError("missing")])
def test_a_process_awaits_its_tables_until_it_has_worked_with_them(
    scoreboard: Scoreboard, error: Exception
) -> None:
    one = _process(scoreboard, "one")
    (entry,) = scoreboard.living()
    awaited = [entry.tables_awaited]
    one.note(psycopg.OperationalError("away"))
    awaited.append(entry.tables_awaited)
    one.note(error)
    one.recognized()
    awaited.append(entry.tables_awaited)
    one.over()
    awaited.append(entry.tables_awaited)

    assert awaited == [0, 0, 1, 0]


def test_a_name_that_is_being_resolved_is_no_outage(
    scoreboard: Scoreboard, reported: Emitted
) -> None:
    one = _process(scoreboard, "one")

    assert [one.note(StillLookingUpError("soon")) for _ in range(30)] == [0.0] * 30
    one.over()

    assert (reported, scoreboard.outages) == ([], 0)
