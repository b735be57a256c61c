"""Where a period ends among the ids: found by bisection, wherever it lies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd.acts import listing, periods
from jobsd.acts.listing import Filter, listed
from jobsd.acts.periods import Lasting, Period, age, first_id_after

if TYPE_CHECKING:
    from datetime import datetime

    from jobsd.database.connection import Session

pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture(autouse=True)
def _small_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "MARGIN_IDS", 5)
    monkeypatch.setattr(listing, "PAGE", 50)


@pytest.fixture
def jobs(session: Session) -> dict[int, datetime]:
    """A job of each minute until now, 1,000, finished 30 s later; a third was cleared."""
    session.connection.execute(
        "INSERT INTO jobsd.jobs"
        " (queue_name, class_name, outcome, created_at, started_at, finished_at)"
        " SELECT 'mail', 'nothing', 'finished', at, at + interval '10s', at + interval '30s'"
        " FROM generate_series(1, 1000) AS i"
        " CROSS JOIN LATERAL (SELECT now() - make_interval(mins => 1001 - i) AS at) AS a"
        " ORDER BY i"
    )
    session.connection.execute(
        "DELETE FROM jobsd.jobs"
        " WHERE id % 3 = 0 OR id - (SELECT min(id) FROM jobsd.jobs) BETWEEN 400 AND 500"
    )
    rows = session.connection.execute("SELECT id, created_at FROM jobsd.jobs ORDER BY id")
    return dict(rows.fetchall())


def test_a_bisection_finds_the_first_later_job(
    session: Session, jobs: dict[int, datetime]
) -> None:
    for job_id, created_at in list(jobs.items())[::7]:
        assert first_id_after(session, created_at) - periods.MARGIN_IDS == job_id
    assert first_id_after(session, max(jobs.values()) + timedelta(1)) > max(jobs)


def test_a_bisection_without_jobs_ends(session: Session) -> None:
    now = session.connection.execute("SELECT now()").fetchone()

    assert now is not None
    assert first_id_after(session, now[0]) == 1 + periods.MARGIN_IDS


@pytest.mark.parametrize("name", ["enqueued", "started", "finished"])
@pytest.mark.parametrize("state", [None, "finished"])
@pytest.mark.parametrize("hours", [1, 8, 15])
def test_a_search_reads_little_wherever_its_period_lies(
    session: Session, jobs: dict[int, datetime], name: str, state: str | None, hours: int
) -> None:
    period = Period(age(3600 * hours + 1800), age(3600 * hours))
    now = session.connection.execute("SELECT now()").fetchone()
    assert now is not None
    within = period.at(now[0])
    late_s = {"enqueued": 0, "started": 10, "finished": 30}[name]
    wanted = [each for each, at in jobs.items() if within.hold(at + timedelta(seconds=late_s))]

    found = listed(session, Filter(state, **{name: period}), len(wanted))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert wanted
    assert [job.id for job in found.jobs] == wanted[::-1]
    assert found.seen <= 100


def test_a_job_of_a_long_transaction_is_found_when_it_began(
    session: Session, jobs: dict[int, datetime]
) -> None:
    late = list(jobs)[-100]
    began = jobs[late] - periods.MARGIN + timedelta(seconds=1)
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = %s WHERE id = %s", (began, late)
    )

    second = timedelta(seconds=1)
    found = listed(session, Filter(enqueued=Period(began - second, began + second)))

    assert late in [job.id for job in found.jobs]


def test_an_act_reaches_jobs_of_any_transaction(
    session: Session, jobs: dict[int, datetime]
) -> None:
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = created_at - interval '1 day' WHERE id = %s",
        (max(jobs),),
    )

    ids = listing.ids(session, Filter(enqueued=Period(until=age(23 * 3600))))

    assert list(ids) == [max(jobs)]


@pytest.mark.parametrize(
    ("length", "found"),
    [(Lasting(least_s=21), 0), (Lasting(19, 21), 1), (Lasting(most_s=19), 0)],
)
def test_a_length_selects_by_the_last_attempt(
    session: Session, jobs: dict[int, datetime], length: Lasting, found: int
) -> None:
    since = list(jobs.values())[-40]
    of_last_hour = list(jobs)[-40:][::-1]

    ran = listed(session, Filter(enqueued=Period(since), ran=length), 100).jobs
    waited = listed(session, Filter(enqueued=Period(since), waited=Lasting(9, 11)), 100).jobs

    assert [job.id for job in ran] == of_last_hour * found
    assert [job.id for job in waited] == of_last_hour
