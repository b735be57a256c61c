"""A coroutine that completes itself, and that a drain cuts off, loses no attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job

from .bodies import noted
from .effects import NOTE, URL

if TYPE_CHECKING:
    from rows import Rows

    from .conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("effects")


@job
async def cut_off(*, commits: bool) -> None:
    with psycopg.connect(URL[0]) as connection:
        connection.execute(NOTE.encode())
        current_job().complete(connection=connection)
        if commits:
            connection.commit()
        noted.append("open")
        await asyncio.sleep(60)


@pytest.mark.parametrize("commits", [True, False])
def test_a_job_cut_off_by_a_drain_loses_no_attempt(
    make_worker: MakeWorker,
    rows: Rows,
    *,
    commits: bool,
) -> None:
    cut_off.enqueue(commits=commits)
    driven = make_worker(threads=1, drain_s=0.2)
    driven.until(lambda: noted)

    driven.drain()

    assert rows("SELECT outcome, attempts FROM jobsd.jobs") == [
        ("finished", 1) if commits else (None, 0)
    ]
    assert rows("SELECT count(*) FROM jobsd.ready_executions") == [0 if commits else 1]
    assert rows("SELECT count(*) FROM public.effects") == [1 if commits else 0]
    assert rows("SELECT count(*) FROM jobsd.attempts") == [0]
