"""Finished jobs past their time leave by their ids; all else stays."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.acts import retention
from jobsd.acts.retention import Batch, batches, clear_finished_in_batches, with_rests
from jobsd.clock import monotonic, utc_now
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target

_COLUMNS = "(queue_name, class_name, created_at, finished_at, outcome)"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    retention.restart()
    yield
    client.configure()


def _finished(session: Session, hours: float, name: str = "a", *, created: float = 0) -> int:
    """Store a job that has finished so many hours ago; return its id."""
    row = session.connection.execute(
        f"INSERT INTO jobsd.jobs {_COLUMNS} VALUES ('q', %s, now() - %s * interval '1 hour',"
        " now() - %s * interval '1 hour', 'finished') RETURNING id",
        (name, created or hours, hours),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _unfinished(session: Session, hours: float) -> int:
    row = session.connection.execute(
        f"INSERT INTO jobsd.jobs {_COLUMNS}"
        " VALUES ('q', 'a', now() - %s * interval '1 hour', NULL, NULL) RETURNING id",
        (hours,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _ids(session: Session) -> list[int]:
    rows = session.connection.execute("SELECT id FROM jobsd.jobs ORDER BY id").fetchall()
    return [row[0] for row in rows]


@pytest.mark.behaviour(87)
def test_only_old_finished_jobs_are_deleted(session: Session) -> None:
    waiting, failed = _unfinished(session, 50), _unfinished(session, 50)
    session.connection.execute(
        "INSERT INTO jobsd.failed_executions VALUES (%s, now() - interval '49 h', '{}')",
        (failed,),
    )
    _finished(session, 49)
    young = _finished(session, 1, created=48)
    _finished(session, 25)
    last = _finished(session, 23)

    assert clear_finished_in_batches(session=session) == 2
    assert _ids(session) == [waiting, failed, young, last]


def test_failed_attempts_go_with_their_job(session: Session) -> None:
    gone, stays = _finished(session, 25), _finished(session, 1)
    for job_id in (gone, stays):
        session.connection.execute(
            "INSERT INTO jobsd.attempts (job_id, attempt, ended_at, error)"
            " VALUES (%s, 1, now(), '{}')",
            (job_id,),
        )

    clear_finished_in_batches(session=session)

    rows = session.connection.execute("SELECT job_id FROM jobsd.attempts").fetchall()
    assert rows == [(stays,)]


def test_the_history_of_recurring_tasks_stays(session: Session) -> None:
    job_id = _finished(session, 25)
    session.connection.execute(
        "INSERT INTO jobsd.recurring_executions VALUES ('task', now(), %s)", (job_id,)
    )

    assert clear_finished_in_batches(session=session) == 1
    assert session.connection.execute(
        "SELECT job_id FROM jobsd.recurring_executions"
    ).fetchall() == [(job_id,)]


@pytest.mark.behaviour(87)
def test_batches_have_the_size_that_was_asked_for(session: Session) -> None:
    for _ in range(7):
        _finished(session, 25)

    cleared = [batch.cleared for batch in batches(session, 3)]

    assert cleared == [3, 3, 1]


@pytest.mark.parametrize(("pause_s", "rest_s"), [(0.5, 0.5), (None, 3.0)])
def test_it_rests_only_after_batches_that_have_deleted_jobs(
    monkeypatch: pytest.MonkeyPatch, pause_s: float | None, rest_s: float
) -> None:
    rests: list[float] = []
    times = itertools.count(step=2.0)
    monkeypatch.setattr("time.sleep", rests.append)
    monkeypatch.setattr(retention, "monotonic", lambda: next(times))

    done = list(with_rests(iter((Batch(2, 5, 9), Batch(0, 5, 14))), pause_s))

    assert (len(done), rests) == (2, [rest_s])


def test_all_pages_of_clearable_jobs_are_counted(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_COUNTED_AT_ONCE", 2)
    for _ in range(5):
        _finished(session, 25)

    assert retention.clearable(session, 86_400) == 5


def test_it_ends_at_jobs_too_young_to_be_old(session: Session) -> None:
    _finished(session, 25)
    for _ in range(6):
        _finished(session, 1)

    seen = [batch.seen for batch in batches(session, 3)]

    assert seen == [3, 3]


def test_the_limit_can_be_given_in_each_way(session: Session) -> None:
    _finished(session, 10, "a")
    _finished(session, 10, "b")
    _finished(session, 2, "b")

    assert clear_finished_in_batches(older_than="11h", session=session) == 0
    assert clear_finished_in_batches(older_than="5h", class_name="a", session=session) == 1
    before = utc_now() - timedelta(hours=5)
    assert clear_finished_in_batches(finished_before=before, session=session) == 1
    client.configure(client=Client(session.target, keep_finished_s=3600.0))
    assert clear_finished_in_batches(session=session) == 1


def test_what_still_lives_is_stepped_over_once(session: Session) -> None:
    living = [_unfinished(session, 48) for _ in range(3)]
    _finished(session, 25)
    assert clear_finished_in_batches(1, session=session) == 1

    second = [batch.last_id for batch in batches(session, 1)]

    assert not set(second) & set(living)


def test_what_only_has_to_get_older_is_not_stepped_over(session: Session) -> None:
    young = _finished(session, 23, created=48)
    _finished(session, 25)
    assert clear_finished_in_batches(1, session=session) == 1
    session.connection.execute(
        "UPDATE jobsd.jobs SET finished_at = now() - interval '25 hours' WHERE id = %s",
        (young,),
    )

    assert clear_finished_in_batches(1, session=session) == 1


def test_a_job_finished_behind_the_cursor_is_found_by_the_next_full_walk(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = _unfinished(session, 48)
    clear_finished_in_batches(session=session)
    session.connection.execute(
        "UPDATE jobsd.jobs SET finished_at = now() - interval '25 hours', outcome = 'finished'"
        " WHERE id = %s",
        (late,),
    )
    assert clear_finished_in_batches(session=session) == 0

    tomorrow = monotonic() + retention.FULL_WALK_EVERY_S
    monkeypatch.setattr(retention, "monotonic", lambda: tomorrow)
    assert clear_finished_in_batches(session=session) == 1


def test_two_may_clear_at_once(session: Session, target: Target) -> None:
    for _ in range(4):
        _finished(session, 25)
    client.configure(client=client.Client(target))
    with session.connection.transaction():
        session.connection.execute("SELECT FROM jobsd.jobs ORDER BY id LIMIT 2 FOR UPDATE")

        cleared = clear_finished_in_batches()

    assert cleared == 2
    client.configure()


def test_impossible_options_are_refused(session: Session) -> None:
    now = utc_now()
    with pytest.raises(Error, match="not both"):
        clear_finished_in_batches(finished_before=now, older_than=1, session=session)
    with pytest.raises(Error, match="time zone"):
        clear_finished_in_batches(finished_before=now.replace(tzinfo=None), session=session)
    with pytest.raises(Error, match="older_than"):
        clear_finished_in_batches(older_than="soon", session=session)
    odd: list[tuple[str, Any]] = [
        *(("batch_size", size) for size in (0, -1, 1.5, True, 2**70)),
        *(("class_name", name) for name in ("", "a\0b", 7)),
        *(("sleep_between_batches", pause) for pause in (-1, "soon")),
        ("finished_before", "yesterday"),
    ]
    for option, value in odd:
        with pytest.raises(Error):
            clear_finished_in_batches(session=session, **{option: value})


def test_an_age_beyond_all_time_clears_nothing(session: Session) -> None:
    assert clear_finished_in_batches(older_than=1e300, session=session) == 0
