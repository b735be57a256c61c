"""The small rules of the monitor, without any process: what comes after its first step."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from harness.monitor_options import heartbeat_task, make_options
from jobsd.clock import monotonic, monotonic_ns
from jobsd.configuration.options import DispatcherOptions
from jobsd.database.connection import Target
from jobsd.metrics.figures import Arrived, DatabaseFigures
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import arrivals, database_thread, history, http, schema
from jobsd.supervisor.monitor.arrivals import LACK_S, Arrivals
from jobsd.supervisor.monitor.database_thread import RETRY_MAX_S, DatabaseThread
from jobsd.supervisor.monitor.forced import ForcedCancels
from jobsd.supervisor.monitor.freshness import Fresh
from jobsd.supervisor.monitor.health import Expected
from jobsd.supervisor.monitor.heartbeats import Beat, LastHeartbeat, LastHeartbeats, Survey
from jobsd.supervisor.monitor.history import History
from jobsd.supervisor.monitor.membership import Membership
from jobsd.supervisor.monitor.monitor import EXIT_CRASHED, Monitor
from jobsd.supervisor.monitor.scraping import Scraping
from jobsd.supervisor.recovery.peers import PeerProcess, Peers

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session

NOWHERE = Target("postgresql://nowhere")


def _nothing(*_: object) -> None:
    pass


@pytest.fixture
def thread(context: Context) -> DatabaseThread:
    return DatabaseThread(context, NOWHERE, make_options(NOWHERE), {})


# The database thread.


def _run_once(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Run for one poll, which fails."""

    def poll() -> float:
        thread.finish(tree_ends=False, orphaned=False)
        raise error

    monkeypatch.setattr(thread, "poll", poll)
    monkeypatch.setattr(thread.membership, "leave_alone", _nothing)
    monkeypatch.setattr(thread.history, "write", _nothing)
    thread.run()


def test_after_an_outage_the_tree_is_surveyed_at_once(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread.survey_at = monotonic() + 60

    _run_once(thread, monkeypatch, psycopg.OperationalError("it went away"))

    assert thread.survey_at <= monotonic()


@pytest.mark.parametrize("error", [psycopg.OperationalError, psycopg.errors.UndefinedTable])
def test_tables_that_have_gone_are_searched_for_again(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, error: type[psycopg.Error]
) -> None:
    searched: list[str] = []
    monkeypatch.setattr(thread.schema, "are_gone", lambda: searched.append("again"))

    _run_once(thread, monkeypatch, error("it went away"))

    assert searched == (["again"] if error is psycopg.errors.UndefinedTable else [])


def test_the_rests_between_retries_of_a_locked_row_grow(thread: DatabaseThread) -> None:
    rests = [thread._rest_s(again=True) for _ in range(6)]

    assert rests == sorted(rests)
    assert rests[0] < rests[-1] == RETRY_MAX_S
    thread._rest_s(again=False)
    assert thread._rest_s(again=True) == rests[0]


@pytest.mark.parametrize("tree_ends", [True, False])
def test_the_last_minute_of_history_is_written_at_the_end(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch, *, tree_ends: bool
) -> None:
    done: list[str] = []
    for what in ("leave", "leave_alone"):
        monkeypatch.setattr(thread.membership, what, partial(done.append, what))
    monkeypatch.setattr(thread.history, "write", lambda: done.append("write"))

    thread.finish(tree_ends=tree_ends, orphaned=False)
    thread.run()

    assert done == ["leave" if tree_ends else "leave_alone", "write"]


def test_at_the_end_the_dead_are_recovered_until_nothing_is_locked(
    thread: DatabaseThread, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = context.scoreboard.entries[1]
    dead.take("worker", "worker-1")
    dead.record_exit(9, "signal", 0)
    answers = [False, False, True]

    def recover(_: object) -> bool:
        return answers.pop(0)

    monkeypatch.setattr(thread.recovery, "recover", recover)
    monkeypatch.setattr(thread.membership, "leave", _nothing)
    monkeypatch.setattr(thread.history, "write", _nothing)
    monkeypatch.setattr(database_thread, "LAST_S", 30.0)

    thread.finish(tree_ends=True, orphaned=False)
    thread.run()

    assert answers == []


def test_how_much_a_process_could_run_is_known_when_its_row_has_gone(
    thread: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, int | None]] = []

    def take(process_id: int, ran: int | None) -> None:
        taken.append((process_id, ran))

    monkeypatch.setattr(thread.recovery, "take_claims", take)
    peer = PeerProcess(7, "worker", "w", 1, "here", 0.0, "", "", "", 12)
    thread._remember_threads([peer])
    seen = Survey(frozenset(), [], [7], LastHeartbeats())

    thread._settle_orphans(seen, 0.0)
    assert taken == []
    thread._settle_orphans(seen, 3_600.0)

    assert taken == [(7, 12)]


def test_a_monitor_without_its_database_thread_ends_for_a_successor(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DatabaseThread, "run", _nothing)
    monitor = Monitor(context, NOWHERE, make_options(NOWHERE))
    polls = iter(range(500))
    monkeypatch.setattr(monitor, "_nap", lambda: next(polls))

    assert monitor.run() == EXIT_CRASHED


def test_a_row_that_was_deleted_is_reported_once(
    context: Context, recorder: EventRecorder
) -> None:
    reported = recorder.facts("process.deregistered")
    worker = context.scoreboard.entries[1]
    worker.take("worker", "worker-1")
    worker.row_id = 7
    membership = Membership(context, cast("Session", None), {})
    beats = [Beat(7, monotonic_ns(), 1)]
    gone = Survey(frozenset(), [], [], LastHeartbeats())

    for _ in range(3):
        membership.check(beats, gone)

    assert worker.row_lost
    assert [facts["row_id"] for facts in reported] == [7]


def test_a_migration_that_waits_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, recorder: EventRecorder
) -> None:
    reported = recorder.events("database.migration_blocked", "schema.outdated")

    def bring_up(_target: object, report: Any) -> list[str]:
        report("somebody holds the tables")
        raise psycopg.errors.LockNotAvailable("lock timeout")

    monkeypatch.setattr("jobsd.database.migrate.bring_up", bring_up)
    monkeypatch.setattr(schema, "AGAIN_S", 0.0)
    tables = schema.Schema(NOWHERE)

    assert [tables.ready(_nothing) for _ in range(3)] == [False] * 3

    names = [name for name, _ in reported]
    assert names == ["database.migration_blocked", "schema.outdated"]


# Peers.


def test_heartbeats_that_lie_close_together_are_life_all_the_same() -> None:
    peers = Peers(threshold_s=60.0, interval_s=10.0)
    assert peers.jitter_s == 1.0

    for beat in range(30):
        peer = PeerProcess(7, "worker", "w", 1, "far", 0.6 * beat, "b", "n", "1", 1)
        peers.see([peer], 10.0 * beat)
        assert peers.standing_still(10.0 * beat) == []


# Health and figures.


def test_only_processes_of_this_tree_are_expected() -> None:
    options = make_options(NOWHERE, dispatchers=(DispatcherOptions(),))

    assert Expected.by(options).processes == {"worker": 1, "dispatcher": 1}
    only = replace(options, only=frozenset({"worker"}))
    assert Expected.by(only).processes == {"worker": 1}


def test_the_heartbeat_that_is_expected_is_of_the_quickest_task_that_is_on() -> None:
    minutes, hours = heartbeat_task("every 5 minutes"), heartbeat_task("every 2 hours")
    off = replace(minutes, enabled=False)

    def within(*tasks: Any) -> float | None:
        return Expected.by(
            make_options(NOWHERE, tasks=tasks, schedules=True)
        ).heartbeat_within_s

    assert within(hours, minutes) == 600.0
    assert within(off) is None
    assert within(off, hours) == 4 * 3_600.0


def test_the_later_of_two_readings_of_a_heartbeat_counts() -> None:
    early = LastHeartbeats(LastHeartbeat(seen_at=1.0))
    late = LastHeartbeats(LastHeartbeat(seen_at=2.0))
    thread = SimpleNamespace(history=None, heartbeats=late)
    pages = http.Pages(
        Scoreboard(), NOWHERE, make_options(NOWHERE), cast("DatabaseThread", thread)
    )

    for asked, known in ((early, late), (late, early)):
        pages._heartbeat._value = asked
        thread.heartbeats = known
        assert pages._latest_heartbeats() is late


def test_a_value_that_was_just_read_can_be_read_again() -> None:
    readings = iter(range(10))
    fresh = Fresh(lambda: next(readings), share=0.0)

    assert [fresh.get(max_age_s=-1, wait_s=30) for _ in range(2)] == [None, None]
    assert fresh.last == 1


def test_a_connection_that_broke_while_it_was_kept_costs_no_scrape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scraping = Scraping(NOWHERE, Scoreboard(), cast("History", None))
    figures = _figures({})
    answers: list[Exception | DatabaseFigures] = [psycopg.OperationalError("gone"), figures]
    kept = SimpleNamespace(connected=True, close=_nothing)

    def read_once() -> DatabaseFigures:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(scraping, "_session", kept)
    monkeypatch.setattr(scraping, "_read_once", read_once)

    assert scraping._read_figures() is figures
    kept.connected = False
    answers.append(psycopg.OperationalError("away"))
    with pytest.raises(psycopg.OperationalError):
        scraping._read_figures()


def test_a_writing_that_failed_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise psycopg.OperationalError("it went away")

    scoreboard = Scoreboard()
    written = History(cast("Session", SimpleNamespace(fetch=fail)), scoreboard)

    def more(*_: object) -> list[dict[str, str]]:
        return [{"name": "mail"}]

    monkeypatch.setattr(history, "_more", more)

    with pytest.raises(psycopg.OperationalError):
        written.write()

    assert written.writes == 2, "an odd number says that it still writes"


# Arrivals.


def _figures(stored: dict[str, Arrived], **depths: int) -> DatabaseFigures:
    ready = {queue: {"ready": jobs} for queue, jobs in depths.items()}
    return DatabaseFigures(ready, {}, {}, {}, {}, {}, arrivals=stored)


def _session(fetched: list[Any]) -> Session:
    def fetch(_statement: object, given: dict[str, Any] | None = None) -> list[Any]:
        fetched.append(given)
        return []

    return cast("Session", SimpleNamespace(fetch=fetch))


def test_a_lack_that_was_over_meanwhile_has_not_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    now, sent = 1_000.0, list[Any]()
    monkeypatch.setattr(arrivals, "monotonic", lambda: now)
    stored, come = {"mail": Arrived(0, 0, 5)}, Arrivals()

    for later_s, jobs in ((0.0, 3), (10.0, 5), (LACK_S + 1.0, 3)):
        now = 1_000.0 + later_s
        come.update(_session(sent), _figures(stored, mail=jobs), {})

    assert sent == []
    now += LACK_S
    come.update(_session(sent), _figures(stored, mail=3), {})
    assert len(sent) == 1
    # The next lack has to last, too.
    compensated = {"mail": Arrived(0, 2, 5)}
    come.update(_session(sent), _figures(compensated, mail=2), {})
    assert len(sent) == 1
    now += LACK_S
    come.update(_session(sent), _figures(compensated, mail=2), {})
    assert len(sent) == 2


def test_queues_beyond_the_room_have_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "QUEUES_MAX", 1)
    sent: list[Any] = []
    stored = {"mail": Arrived(0, 0, 1)}

    Arrivals().update(_session(sent), _figures(stored, mail=3, other=4), {})

    (row,) = [each["rows"] for each in sent if each]
    assert '"mail"' in row
    assert '"other"' not in row


# Cancels by force.


def test_a_notice_that_comes_while_one_is_served_is_served_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns, asked = 10**12, list[Any]()
    monkeypatch.setattr("jobsd.supervisor.monitor.forced.monotonic_ns", lambda: now_ns)
    scoreboard = Scoreboard()
    worker = scoreboard.entries[0]
    worker.take("worker", "worker-1")
    worker.row_id = 7
    worker.started(0, 1, 70)

    def fetch(*_: object) -> list[Any]:
        asked.append(now_ns)
        return []

    session = SimpleNamespace(listening=True, fetch=fetch)
    forced = ForcedCancels(cast("Session", session), scoreboard, 10.0)
    monkeypatch.setattr(type(worker), "tick_age_s", 0.0)

    forced.poll(notified=True)
    now_ns += 200_000_000
    worker.ticked_ns = now_ns  # It has gone round after the first, and then no more.
    now_ns += 300_000_000
    forced.poll(notified=True)
    for _ in range(4):
        now_ns += 1_000_000_000
        forced.poll(notified=False)

    assert len(asked) == 1
