"""Jobs that have ended since a backup are found by their id and the time of their enqueue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import claim, enqueue, fail
from jobsd.operations import restore
from jobsd.operations.restore import EndedJob, again, ended_job

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")

EVENT = {
    "timestamp": "2026-01-02T03:04:06.5+00:00",
    "event": "job.finished",
    "job_id": 7,
    "created_at": "2026-01-02T04:04:05.25+01:00",
}


def test_an_event_of_a_success_has_its_job() -> None:
    created_at = datetime(2026, 1, 2, 3, 4, 5, 250_000, UTC)

    assert ended_job(EVENT) == EndedJob(7, created_at, created_at + timedelta(seconds=1.25))


@pytest.mark.parametrize(
    "facts",
    [
        {"event": "job.failed"},
        {"job_id": "7"},
        {"job_id": True},
        {"job_id": 2**63},
        {"job_id": 0},
        {"created_at": None},
        {"created_at": "yesterday"},
        {"created_at": "2026-01-02T04:04:05"},
        {"created_at": "0001-01-01T00:00:00+23:00"},
    ],
    ids=str,
)
def test_another_event_and_an_incomplete_one_have_none(facts: dict[str, Any]) -> None:
    assert ended_job({**EVENT, **facts}) is None


def _ended(rows: Rows, *ids: int, late_s: float = 0.0) -> list[EndedJob]:
    found = rows("SELECT id, created_at FROM jobsd.jobs WHERE id = ANY (%s)", list(ids))
    moments = {job_id: moment + timedelta(seconds=late_s) for job_id, moment in found}
    return [EndedJob(job_id, moments[job_id], None) for job_id in ids]


def test_those_that_would_run_again_are_returned_once(
    session: Session, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "BATCH", 2)
    failed, ready, scheduled = enqueue(), enqueue(), enqueue(wait="1h")
    fail(session, failed)
    ended = enqueue("ended")
    rows("UPDATE jobsd.jobs SET outcome = 'finished', finished_at = now() WHERE id = %s", ended)
    all_of_them = _ended(rows, scheduled, ready, failed, ended, ready, scheduled)

    found = [(row["id"], row["state"]) for row in again(session, all_of_them)]

    assert sorted(found) == [(ready, "ready"), (scheduled, "scheduled")]


def test_a_job_that_has_got_the_id_since_is_another_one(session: Session, rows: Rows) -> None:
    job_id = enqueue()

    assert list(again(session, _ended(rows, job_id, late_s=0.000_001))) == []
    assert [row["id"] for row in again(session, _ended(rows, job_id))] == [job_id]


def test_a_job_that_was_running_at_the_backup_is_one(session: Session, rows: Rows) -> None:
    job_id = enqueue()
    claim(session, 1, job_id)

    assert [row["state"] for row in again(session, _ended(rows, job_id))] == ["claimed"]
