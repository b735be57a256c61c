"""The slot of a job that completes itself is handed over, to a job of another worker too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from enqueueing.placed import block
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import gate, noted
from .effects import NOTE, URL

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("effects")

HAS_SLOT = "SELECT position IS NOT NULL FROM jobsd.blocked_executions"


@job(name="slots.one", limits_concurrency=Limit(to=1, key="k"))
def one() -> None:
    noted.append("begun")
    assert gate.wait(60)
    with psycopg.connect(URL[0]) as connection:
        connection.execute(NOTE.encode())
        current_job().complete(connection=connection)


def test_the_next_job_of_the_key_gets_the_slot_wherever_it_is_to_run(
    make_worker: MakeWorker, session: Session, rows: Rows
) -> None:
    worker = make_worker(threads=1, queues=("default",))
    one.enqueue()
    worker.until(lambda: noted)
    waiting = one.using(queue="elsewhere").enqueue()
    block(session, waiting.id or 0)
    before = rows(HAS_SLOT)

    gate.set()
    worker.until(lambda: rows(HAS_SLOT) == [True])

    assert (before, rows("SELECT n FROM public.effects")) == ([False], [1])
