"""A result counts until its time is over, whether or not it was cleared by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.errors import Error, NotFoundError
from jobsd.jobs.definition import job
from jobsd.operations.job_info import find

if TYPE_CHECKING:
    from rows import Rows

    from .conftest import MakeWorker


@job(result_ttl="1h")
def five() -> int:
    return 5


def test_an_expired_result_is_not_returned_before_it_is_cleared(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker()
    handle = five.enqueue()
    worker.until(lambda: rows("SELECT count(*) FROM jobsd.results") == [1])
    in_time = handle.result(timeout=5)

    rows("UPDATE jobsd.results SET expires_at = now() RETURNING 1")

    found = find(handle.id or 0)
    assert found is not None
    assert (in_time, found.state, found.result) == (5, "finished", None)
    with pytest.raises(Error):
        handle.result(timeout=5)


def test_of_an_erased_job_nothing_is_known_once_the_time_of_its_result_is_over(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(keep=False)
    handle = five.enqueue()
    worker.until(lambda: rows("SELECT count(*) FROM jobsd.results") == [1])
    in_time = handle.result(timeout=5)

    rows("UPDATE jobsd.results SET expires_at = now() RETURNING 1")

    assert in_time == 5
    with pytest.raises(NotFoundError):
        handle.wait(timeout=5)
