"""The answer about a claim of its own, for which a job has asked, is lost."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from lost_answers import losing
from waiting import wait_until

from .bodies import gate, noted

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows import Rows

    from .conftest import MakeWorker

URL = [""]
OUTCOMES = "SELECT outcome, attempts FROM jobsd.jobs ORDER BY id"


@job
def begun_late() -> None:
    noted.append("begun")
    assert gate.wait(60)
    with psycopg.connect(URL[0]) as connection:
        current_job().complete(connection=connection)
        noted.append("completed")


@job
def waits_for_completion() -> None:
    wait_until(lambda: "completed" in noted)


@pytest.mark.failure(
    "The connection breaks between the commit of a claim for one job alone and its answer.",
    "The worker finds that claim when it reads its claims back: the job goes on and completes.",
)
def test_a_lost_answer_about_its_own_claim_takes_no_job_away(
    make_worker: MakeWorker, rows: Rows, target: Target
) -> None:
    URL[0] = target.url
    with losing(target) as (way, through):
        worker = make_worker(target=through, threads=2)
        begun_late.enqueue()
        waits_for_completion.enqueue()
        worker.until(lambda: noted == ["begun"] and worker.worker.pool.busy == 2)

        way.lose(b"moved_from")
        gate.set()
        with pytest.raises(psycopg.OperationalError):
            worker.until(lambda: False)
        worker.worker.disconnect()
        assert rows("SELECT count(*) FROM jobsd.claims WHERE moved_from IS NOT NULL") == [1]

        worker.worker.connect()
        worker.until(lambda: rows(OUTCOMES) == [("finished", 1)] * 2)
        worker.until(lambda: not worker.worker.ledger.claims)
    assert noted == ["begun", "completed"]
