"""What a tree has counted becomes history: once, by one statement, and not for nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Target
from jobsd.scoreboard.queue_names import CLASSES_MAX, OTHERS
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import history
from jobsd.supervisor.monitor.history import History

if TYPE_CHECKING:
    from jobsd.scoreboard.entry import ScoreboardEntry
    from rows import Rows


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard()


def _worker(scoreboard: Scoreboard) -> ScoreboardEntry:
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("worker", "worker-1")
    return entry


def _did(entry: ScoreboardEntry, jobs: int = 1, name: str = "shop.welcome") -> None:
    mail, welcome = entry.queue("mail"), entry.job_class(name)
    for counters in (mail, welcome):
        counters.count("finished", jobs)
    mail.observe(waits_s=[0.001] * jobs, runs_s=[2.0] * jobs, also=welcome)


def _rows(rows: Rows, table: str) -> list[Any]:
    return rows(
        "SELECT ARRAY[finished, failed, waits[1], runs[7], cardinality(runs)]"
        f" FROM jobsd.history_{table}"
    )


def test_counts_are_added_to_the_history_once(
    session: Session, scoreboard: Scoreboard, rows: Rows
) -> None:
    written, entry = History(session, scoreboard), _worker(scoreboard)
    _did(entry, 3)
    written.write()
    written.write()
    entry.queue("mail").count("failed")
    _did(entry)
    written.write()

    # They may be in two minutes, or in two hours.
    minutes, hours = _rows(rows, "minutes"), _rows(rows, "hours")
    assert [sum(column) for column in zip(*minutes, strict=True)][:4] == [4, 1, 4, 4]
    assert [sum(column) for column in zip(*hours, strict=True)][:4] == [4, 0, 4, 4]
    assert {row[4] for row in [*minutes, *hours]} == {12}
    assert set(rows("SELECT class_name FROM jobsd.history_hours")) == {"shop.welcome"}


def test_a_following_monitor_starts_at_the_current_counts(
    session: Session, scoreboard: Scoreboard, rows: Rows
) -> None:
    entry = _worker(scoreboard)
    _did(entry, 5)
    follower = History(session, scoreboard)
    _did(entry)
    follower.write()

    assert sum(row[0] for row in _rows(rows, "minutes")) == 1


def test_nothing_is_sent_for_nothing_nor_before_a_minute_is_over(
    session: Session, scoreboard: Scoreboard, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, entry = History(session, scoreboard), _worker(scoreboard)
    nowhere = Session(Target("postgresql://127.0.0.1:1/nothing"), "jobsd test")
    History(nowhere, scoreboard).write()
    _did(entry)
    written.poll()
    early = _rows(rows, "minutes")
    later = monotonic() + history.EVERY_S
    monkeypatch.setattr(history, "monotonic", lambda: later)
    written.poll()

    assert early == []
    assert len(_rows(rows, "minutes")) == 1


def test_what_could_not_be_written_is_written_with_the_next(
    session: Session, scoreboard: Scoreboard, rows: Rows
) -> None:
    written, entry = History(session, scoreboard), _worker(scoreboard)
    rows("ALTER TABLE jobsd.history_hours RENAME TO elsewhere")
    _did(entry)
    with contextlib.suppress(psycopg.Error):
        written.write()
    rows("ALTER TABLE jobsd.elsewhere RENAME TO history_hours")
    _did(entry)
    written.write()

    assert sum(row[0] for row in _rows(rows, "hours")) == 2


def test_old_history_is_deleted(session: Session, scoreboard: Scoreboard, rows: Rows) -> None:
    for table, age in (("minutes", "25 hours"), ("hours", "31 days")):
        rows(
            f"INSERT INTO jobsd.history_{table} VALUES (now() - '{age}'::interval, 'old', 1, 0,"
            " 0, 0, 0, 0, '{0}', '{0}')"
        )
    written, entry = History(session, scoreboard), _worker(scoreboard)
    _did(entry)
    written.write()

    assert "old" not in rows("SELECT queue_name FROM jobsd.history_minutes")
    assert "old" not in rows("SELECT class_name FROM jobsd.history_hours")


def test_classes_beyond_the_room_for_them_are_counted_together(
    session: Session, scoreboard: Scoreboard, rows: Rows
) -> None:
    written, entry = History(session, scoreboard), _worker(scoreboard)
    for number in range(CLASSES_MAX + 3):
        entry.job_class(f"class_{number}").count("finished")
    written.write()

    found = rows("SELECT DISTINCT class_name FROM jobsd.history_hours")
    assert len(found) == CLASSES_MAX + 1
    assert rows(
        "SELECT sum(finished)::int FROM jobsd.history_hours WHERE class_name = %s", OTHERS
    ) == [3]
