"""The progress of jobs as streams: each report that is read, and at last the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import EnqueuedJob, Error, JobNotFoundError, handle, job
from jobsd.enqueueing.progress_watches import Watch, Watches
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.testing import MemoryQueue
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")

LATER = "UPDATE jobsd.jobs SET created_at = created_at + interval '1 hour'"


@job(name="enqueueing.streamed")
def streamed() -> None:
    """Do nothing."""


def _report(rows: Rows, enqueued: EnqueuedJob[Any], done: int, *, ends: bool = False) -> None:
    """Write progress as a worker does, and end the job with it."""
    outcome = "finished" if ends else None
    rows(
        "UPDATE jobsd.jobs SET progress = %s::jsonb, outcome = %s WHERE id = %s",
        json.dumps({"done": done}),
        outcome,
        enqueued.id,
    )


def test_a_stream_yields_each_progress_and_then_the_end(rows: Rows) -> None:
    enqueued = streamed.enqueue()
    _report(rows, enqueued, 1)

    async def read() -> list[tuple[str | None, Any]]:
        seen: list[tuple[str | None, Any]] = []
        async for info in enqueued.aprogress():
            seen.append((info.state, info.progress))
            if info.state is None:
                _report(rows, enqueued, 2, ends=len(seen) == 2)
        return seen

    assert asyncio.run(read()) == [
        (None, {"done": 1}),
        (None, {"done": 2}),
        ("finished", {"done": 2}),
    ]


def test_the_end_has_the_progress_that_was_written_with_it(rows: Rows) -> None:
    enqueued = streamed.enqueue()
    _report(rows, enqueued, 1)

    async def read() -> Any:
        last = None
        async for last in enqueued.aprogress():
            if last.state is None:
                _report(rows, enqueued, 9, ends=True)
        return last

    assert asyncio.run(read()) == (enqueued.id, "finished", {"done": 9})


def test_a_job_that_reports_nothing_yields_its_end_alone(rows: Rows) -> None:
    enqueued = streamed.enqueue()
    rows("UPDATE jobsd.jobs SET outcome = 'finished'")

    async def read() -> list[Any]:
        return [info async for info in handle(enqueued.key).aprogress()]

    assert asyncio.run(read()) == [(enqueued.id, "finished", None)]


def test_all_streams_of_a_process_share_one_connection(rows: Rows) -> None:
    jobs = [streamed.enqueue() for _ in range(3)]
    for each in jobs:
        _report(rows, each, 1)

    async def read() -> list[Any]:
        streams = [each.aprogress() for each in jobs]
        first = [await anext(each) for each in streams]
        connections = rows(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobsd waiting'"
            " AND datname = current_database()"
        )
        for each in streams:
            await each.aclose()
        return [[info.id for info in first], connections]

    assert asyncio.run(read()) == [[each.id for each in jobs], [1]]


def test_a_stream_that_is_left_ends_its_wait(rows: Rows) -> None:
    left, open_ = streamed.enqueue(), streamed.enqueue()
    _report(rows, left, 1)
    _report(rows, open_, 1)

    async def read() -> None:
        async with contextlib.aclosing(open_.aprogress()) as stream:
            await anext(stream)
            async with contextlib.aclosing(left.aprogress()) as shorter:
                await anext(shorter)
            # The thread looks again for the stream that is open.
            wait_until(lambda: rows("SELECT job_id FROM jobsd.waiters") == [open_.id], 30)

    asyncio.run(read())


def test_a_stream_is_never_that_of_another_job_with_the_id(rows: Rows) -> None:
    enqueued = streamed.enqueue()
    _report(rows, enqueued, 1)
    rows(LATER)

    async def read() -> list[Any]:
        return [info async for info in enqueued.aprogress()]

    with pytest.raises(JobNotFoundError, match="another job"):
        asyncio.run(read())


def test_a_job_that_is_not_stored_has_no_stream() -> None:
    with pytest.raises(Error, match="there is no job to wait for"):
        asyncio.run(anext(EnqueuedJob[None](None, "pending").aprogress()))


def test_a_job_of_the_test_kit_yields_its_end(jobs_inline: MemoryQueue) -> None:
    enqueued = streamed.enqueue()

    async def read() -> list[Any]:
        return [info async for info in enqueued.aprogress()]

    assert asyncio.run(read()) == [(enqueued.id, "finished", None)]
    assert len(jobs_inline) == 1


def test_a_read_for_an_end_wakes_no_stream(rows: Rows, session: Session) -> None:
    enqueued = streamed.enqueue()
    _report(rows, enqueued, 1, ends=True)
    assert enqueued.id is not None

    async def read(job_id: int) -> tuple[Any, list[bool]]:
        watches, watch = Watches(), Watch(lambda _: True)
        watches.add(job_id, watch)
        woken: list[bool] = []
        for ended in ({job_id}, set[int]()):
            watches.read(session, ended)
            await asyncio.sleep(0)
            woken.append(watch.changed.is_set())
            seen, watch.seen = watch.seen, None
            watches.add(job_id, Watch(lambda _: True))
        return seen, woken

    assert asyncio.run(read(enqueued.id)) == ({"done": 1}, [False, True])
