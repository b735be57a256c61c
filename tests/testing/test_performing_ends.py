"""How performing ends: with what failed, and with an error where it would never end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd import Error
from jobsd.testing import perform_enqueued

from .shop import call, flaky, inside, ran

if TYPE_CHECKING:
    from jobsd.testing import MemoryQueue


@pytest.mark.parametrize(("failing", "note"), [(1, ""), (3, "; 2 more failed")])
def test_the_raised_error_notes_the_number_of_failed_jobs(
    jobs: MemoryQueue, failing: int, note: str
) -> None:
    del jobs
    for _ in range(failing):
        flaky.enqueue("value", "value", "value")

    with pytest.raises(ValueError, match="no value") as raised:
        perform_enqueued()

    assert raised.value.__notes__[-1].endswith(f"in attempt 3{note}")


def test_a_job_that_enqueues_itself_without_end_is_an_error(
    jobs: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.testing.job_store.STEPS_MAX", 20)

    def again() -> None:
        if len(jobs) < 50:
            inside.append(again)
            call.enqueue()

    inside.append(again)
    call.enqueue()

    with pytest.raises(Error, match="20 jobs have run and there are more: is it a loop"):
        perform_enqueued()
    assert [job.state for job in jobs].count("finished") == 20


def test_a_job_with_a_held_key_is_performed_later(jobs: MemoryQueue) -> None:
    inside.extend([perform_enqueued, lambda: ran.append("behind")])
    call.enqueue()
    call.enqueue()

    perform_enqueued()

    assert ran == ["call", "behind", "call"]
    assert {job.state for job in jobs} == {"finished"}
