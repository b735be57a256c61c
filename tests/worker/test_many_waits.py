"""Many jobs are waited for in one process."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.enqueueing import waiting
from jobsd.jobs.definition import job
from jobsd.states import results
from waiting import wait_until

if TYPE_CHECKING:
    import pytest

    from jobsd.database.connection import Session

    from .conftest import MakeWorker


@job(result_ttl="1h")
def give(number: int) -> int:
    return number


def test_the_end_of_one_job_asks_for_no_other(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting.end_all()
    monkeypatch.setattr(waiting, "POLL_MIN_S", 1e6)
    monkeypatch.setattr(waiting, "POLL_MAX_S", 1e6)
    asked: list[list[int]] = []

    def ends(session: Session, ids: list[int]) -> list[results.End]:
        asked.append(ids)
        return results.ends(session, ids)

    monkeypatch.setattr(waiting, "ends", ends)
    worker = make_worker()
    others = [give.using(wait=3600).enqueue(0).id or 0 for _ in range(5)]
    handle = give.enqueue(1)
    waits = waiting._for_target()
    futures = [waits.add(job_id) for job_id in [*others, handle.id or 0]]
    wait_until(lambda: sum(map(len, asked)) == 6)

    worker.until(futures[-1].done)
    waiting.end_all()

    assert asked[-1] == [handle.id]
    assert sum(map(len, asked)) == 7
