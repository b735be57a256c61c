"""Acts on jobs that were enqueued: by what `enqueue` returned, as by the id."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import EnqueuedJob, Error, JobNotFoundError, cancel, discard, find, job, retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.testing import MemoryQueue
    from rows import Rows


@job(name="acts.handles")
def held() -> None:
    """Do nothing."""


pytestmark = pytest.mark.usefixtures("default_client")

ACTS = (cancel, discard, retry)


@pytest.fixture
def enqueued() -> EnqueuedJob[None]:
    return held.using(wait="1h").enqueue()


def test_find_takes_what_was_enqueued(enqueued: EnqueuedJob[None]) -> None:
    found = find(enqueued)

    assert found is not None
    assert (found.id, found.created_at) == (enqueued.id, enqueued.created_at)


@pytest.mark.parametrize("act", [cancel, discard])
def test_an_act_takes_what_was_enqueued(
    enqueued: EnqueuedJob[None], act: Callable[[Any], str], rows: Rows
) -> None:
    assert act(enqueued) == "scheduled"
    assert rows("SELECT outcome FROM jobsd.jobs") == ["discarded"]


def test_a_failed_job_is_retried_by_what_was_enqueued(
    enqueued: EnqueuedJob[None], rows: Rows
) -> None:
    rows("DELETE FROM jobsd.scheduled_executions")
    rows("INSERT INTO jobsd.failed_executions (job_id, error) SELECT id, '{}' FROM jobsd.jobs")

    assert retry(enqueued) == "ready"


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.failure(
    "A database has gone back in time, and another job has the id of a job that was enqueued",
    "`find` finds nothing by what `enqueue` has returned, and no act touches the other job.",
)
def test_no_act_touches_another_job_that_has_the_id_by_now(
    enqueued: EnqueuedJob[None], act: Callable[[Any], str], rows: Rows
) -> None:
    assert enqueued.created_at is not None
    before = replace(enqueued, created_at=enqueued.created_at - timedelta(hours=1))

    with pytest.raises(JobNotFoundError, match="another job"):
        act(before)

    assert find(before) is None
    assert rows("SELECT outcome FROM jobsd.jobs") == [None]


@pytest.mark.parametrize("act", [*ACTS, find])
def test_a_job_that_was_not_stored_is_refused(act: Callable[[Any], object]) -> None:
    with pytest.raises(Error, match="the job has no id: it is pending"):
        act(EnqueuedJob(None, "pending"))


def test_the_test_kit_takes_what_was_enqueued(jobs: MemoryQueue) -> None:
    first, second = held.enqueue(), held.enqueue()

    found = find(first)
    assert found is not None
    assert (found.state, cancel(first), discard(second)) == ("ready", "ready", "ready")
    assert [each.state for each in jobs] == ["discarded", "discarded"]
