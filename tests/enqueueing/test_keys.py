"""A job known by its key or its id, as in another process or a later request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobsd import EnqueuedJob, Error, JobNotFoundError, cancel, find, handle, job

if TYPE_CHECKING:
    from jobsd.testing import MemoryQueue
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")

LATER = "UPDATE jobsd.jobs SET created_at = created_at + interval '1 hour'"
END = "UPDATE jobsd.jobs SET outcome = 'finished', finished_at = now()"


@job(name="enqueueing.keys")
def known() -> None:
    """Do nothing."""


def test_a_key_gives_the_same_job_again() -> None:
    enqueued = known.enqueue()

    again = handle(enqueued.key)

    assert (again.id, again.created_at) == (enqueued.id, enqueued.created_at)
    assert again.key == enqueued.key


def test_a_key_fits_into_a_cookie_and_a_url() -> None:
    enqueued = EnqueuedJob[None](7, "ready", created_at=datetime(2030, 1, 1, tzinfo=UTC))

    assert enqueued.key == "7-1893456000000000"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "seven",
        "-7",
        "7-",
        "7-x",
        " 7",
        "7\n",
        "\N{ARABIC-INDIC DIGIT SEVEN}",
        "7-1-1",
        str(2**63),
        "1" * 30,
        True,
        -1,
    ],
)
def test_a_text_that_is_no_key_is_refused(wrong: str | int) -> None:
    with pytest.raises(Error, match="is not the key of a job, nor its id"):
        handle(wrong)


def test_a_job_that_is_not_stored_has_no_key() -> None:
    with pytest.raises(Error, match="the job has no key: it is pending"):
        _ = EnqueuedJob[None](None, "pending").key


def test_a_job_of_a_key_is_not_another_job_with_its_id(rows: Rows) -> None:
    key = known.enqueue().key
    rows(LATER)

    assert find(handle(key)) is None
    with pytest.raises(JobNotFoundError, match="another job"):
        handle(key).wait(5)
    with pytest.raises(JobNotFoundError, match="another job"):
        cancel(handle(key))


def test_a_job_of_an_id_takes_its_time_from_a_find(rows: Rows) -> None:
    enqueued = known.enqueue()
    by_id = handle(enqueued.id or 0)

    assert by_id.key == str(enqueued.id)
    assert find(by_id) is not None
    assert by_id.key == enqueued.key
    rows(LATER)
    assert find(by_id) is None


def test_a_job_of_an_id_takes_its_time_from_a_wait(rows: Rows) -> None:
    enqueued = known.enqueue()
    by_id = handle(enqueued.id or 0)

    with pytest.raises(TimeoutError):
        by_id.wait(1)
    assert by_id.created_at == enqueued.created_at
    rows(LATER)
    rows(END)

    with pytest.raises(JobNotFoundError, match="another job"):
        by_id.wait(5)


def test_a_job_of_an_id_takes_its_time_from_an_act() -> None:
    enqueued = known.enqueue()
    by_id = handle(enqueued.id or 0)

    assert cancel(by_id) == "ready"
    assert (by_id.created_at, by_id.wait(5)) == (enqueued.created_at, "discarded")


def test_a_key_gives_the_job_in_the_test_kit(jobs: MemoryQueue) -> None:
    enqueued = known.enqueue()

    found = find(handle(enqueued.key))

    assert (found and found.id, len(jobs)) == (enqueued.id, 1)
