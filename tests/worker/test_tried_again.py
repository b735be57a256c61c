"""A limited job that is tried again at once, while others of its key run in the same slot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.policy import Retry

from .bodies import noted

if TYPE_CHECKING:
    from jobsd.scoreboard.entry import ScoreboardEntry

    from .conftest import Count, MakeWorker

_entries: list[ScoreboardEntry] = []


@job(max_attempts=2, limits_concurrency=Limit(group="again", key="k"))
def tried_again(number: int) -> None:
    """Note whether the scoreboard entry says of this job, in its claim, how it has ended."""
    (entry,), job_id = _entries, current_job().id
    (here,) = [each for each in entry.running() if each.job_id == job_id]
    noted.append(any(here == (each.job_id, each.claim_id) for each in entry.endings()))
    # So long that the series gets more jobs while it runs, and so short that it gets several.
    time.sleep(0.002)
    if number and current_job().attempt == 1:
        raise Retry(after=0)


def test_a_job_retried_at_once_does_not_count_as_ended_while_it_runs(
    make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker()
    _entries[:] = [driven.context.entry]
    enqueue_many(tried_again.with_args(n % 2) for n in range(100))

    driven.until(lambda: len(noted) == 150 and not count("claims"))

    assert set(noted) == {False}
