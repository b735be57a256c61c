"""Which jobs are listed: by state, queue, class and age, never walking on without end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import block, claim, enqueue, fail
from jobsd.acts import listing
from jobsd.acts.listing import Filter, listed
from jobsd.acts.periods import Lasting, Period, age
from jobsd.errors import Error
from jobsd.job_states import STATES

if TYPE_CHECKING:
    from jobsd.database.connection import Session

pytestmark = pytest.mark.usefixtures("default_client")


_LAST_DAY = Period(age(86_400))
_LAST_HUNDRED = Period(age(100.5 * 60))


@pytest.fixture
def history(session: Session) -> list[int]:
    """A job of each minute until now, 500, finished; the first alone is of queue `rare`."""
    rows = session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at, created_at)"
        " SELECT CASE i WHEN 1 THEN 'rare' ELSE 'mail' END, 'nothing', 'finished', now(),"
        "  now() - make_interval(mins => 501 - i)"
        " FROM generate_series(1, 500) AS i RETURNING id"
    ).fetchall()
    return [row[0] for row in rows]


def _ids(session: Session, meant: Filter, limit: int = 20) -> list[int]:
    return [job.id for job in listed(session, meant, limit).jobs]


def test_each_state_lists_its_jobs(session: Session) -> None:
    jobs = {
        "scheduled": enqueue(wait="1h"),
        "failed": enqueue(),
        "claimed": enqueue(),
        "ready": enqueue(key="a"),
        "blocked": enqueue(key="a"),
        "lost": enqueue(),
    }
    session.connection.execute(
        "DELETE FROM jobsd.ready_executions WHERE job_id = %s", (jobs["lost"],)
    )
    fail(session, jobs["failed"])
    block(session, jobs["blocked"])
    claim(session, 1, jobs["claimed"])
    for outcome in ("finished", "discarded"):
        jobs[outcome] = enqueue()
        session.connection.execute(
            "WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = %(id)s)"
            " UPDATE jobsd.jobs SET outcome = %(outcome)s WHERE id = %(id)s",
            {"id": jobs[outcome], "outcome": outcome},
        )

    found = {state: listed(session, Filter(state)).jobs for state in STATES}

    assert {state: [job.id for job in rows] for state, rows in found.items()} == {
        state: [job_id] for state, job_id in jobs.items()
    }
    assert all(rows[0].state == state for state, rows in found.items())
    everything = {job.id: job.state for job in listed(session, Filter()).jobs}
    assert everything == {job_id: state for state, job_id in jobs.items()}


def test_the_newest_come_first_over_many_pages(
    session: Session, history: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 7)

    assert _ids(session, Filter(), 300) == history[:-301:-1]
    assert _ids(session, Filter(state="finished"), 1000) == history[::-1]
    assert _ids(session, Filter(queue_name="rare")) == history[:1]


def test_a_rare_filter_ends_and_reports_how_far_it_has_searched(
    session: Session, history: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 50)
    monkeypatch.setattr(listing, "SEARCH_MAX", 200)

    found = listed(session, Filter(queue_name="rare"))

    assert (found.jobs, found.seen, found.complete) == ([], 200, False)
    assert found.oldest is not None
    assert _ids(session, Filter(queue_name="rare", enqueued=_LAST_DAY)) == history[:1]


def test_an_age_ends_the_walk(
    session: Session, history: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 50)

    found = listed(session, Filter(enqueued=_LAST_HUNDRED), 1000)

    assert [job.id for job in found.jobs] == history[:-101:-1]
    assert found.seen <= 200
    assert found.complete


def test_one_old_job_among_young_ones_does_not_end_the_walk(
    session: Session, history: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a transaction that began long before it was committed.
    monkeypatch.setattr(listing, "PAGE", 50)
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = created_at - interval '1 day' WHERE id = %s",
        (history[-3],),
    )

    found = _ids(session, Filter(enqueued=_LAST_HUNDRED), 1000)

    assert found == [each for each in history[:-101:-1] if each != history[-3]]
    assert list(listing.ids(session, Filter(enqueued=_LAST_HUNDRED))) == found[::-1]


def test_a_running_job_is_found_by_its_start(session: Session) -> None:
    running, again, waiting = (enqueue() for _ in range(3))
    claim(session, 1, running, again)
    session.connection.execute(
        "INSERT INTO jobsd.processes (id, kind, name, pid, hostname, running)"
        " VALUES (1, 'worker', 'w', 1, 'h', jsonb_build_object("
        "  %s::text, extract(epoch FROM now() - interval '2h'),"
        "  %s::text, extract(epoch FROM now() - interval '1m')))",
        (running, again),
    )
    # The times of the attempt before.
    session.connection.execute(
        "UPDATE jobsd.jobs SET started_at = now() - interval '2h' WHERE id = %s", (again,)
    )

    found = _ids(session, Filter(started=Period(age(3 * 3600), age(3600))))

    assert found == [running]
    assert waiting not in _ids(session, Filter(started=Period(age(60 * 86_400))))
    assert _ids(session, Filter(ran=Lasting(3600, 3 * 3600))) == [running]


def test_an_age_beyond_all_time_means_all(session: Session, history: list[int]) -> None:
    assert len(_ids(session, Filter(enqueued=Period(age(1e18))), 1000)) == len(history)


def test_ids_are_all_or_the_newest_with_the_oldest_first(
    session: Session, history: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 90)

    assert list(listing.ids(session, Filter("finished"))) == history
    assert list(listing.ids(session, Filter("finished"), 100)) == history[-100:]
    assert list(listing.ids(session, Filter("failed"))) == []


@pytest.mark.parametrize(
    "meant",
    [
        {"state": "gone"},
        {"state": ""},
        {"queue_name": "q" * 300},
        {"queue_name": "a\0"},
        {"class_name": "a\0"},
        {"class_name": "\udcff"},
        {"class_name": "x" * 1001},
    ],
    ids=lambda meant: repr(meant)[:30],
)
def test_an_impossible_filter_is_an_error(meant: dict[str, str]) -> None:
    with pytest.raises(Error):
        Filter(**meant)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
