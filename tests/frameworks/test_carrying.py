"""Context variables of the enqueuer, in the job."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import structlog

from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import ArgumentError, Error
from jobsd.jobs.context import carry
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from driven_worker import Count, MakeWorker

tenant: ContextVar[UUID | None] = ContextVar("tenant", default=None)
unset: ContextVar[str] = ContextVar("unset", default="default")
SOME = UUID(int=7)
noted: list[tuple[Any, ...]] = []


def _note(how: str) -> None:
    bound = structlog.contextvars.get_contextvars()
    noted.append((how, tenant.get(), unset.get(), bound))


@job(name="carrying.check")
def check(how: str) -> None:
    _note(how)
    if how == "first":
        check.enqueue("by a job")


@job(name="carrying.check_soon")
async def check_soon(how: str) -> None:
    _note(how)


def _enqueue() -> None:
    tenant.set(SOME)
    structlog.contextvars.bind_contextvars(request_id="r-1", path=SOME, tries=2, attempt=9)
    check.enqueue("first")
    enqueue_many([check.with_args("in bulk")])
    asyncio.run(_aenqueue())


async def _aenqueue() -> None:
    await check_soon.aenqueue("awaited")


def test_jobs_have_what_their_enqueuer_had(make_worker: MakeWorker, count: Count) -> None:
    worker = make_worker()
    carry(tenant, unset, structlog=True)
    copy_context().run(_enqueue)
    check.enqueue("without")
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 5)

    bound = {"request_id": "r-1", "path": str(SOME), "tries": 2}
    carried: dict[Any, Any] = {each[0]: each[1:] for each in noted}
    assert carried.pop("without") == (None, "default", {})
    ways = ("first", "by a job", "in bulk", "awaited")
    assert carried == dict.fromkeys(ways, (SOME, "default", bound))
    assert tenant.get() is None


def test_a_value_that_cannot_be_stored_is_refused(default_client: object) -> None:
    del default_client
    odd: ContextVar[object] = ContextVar("odd")
    carry(odd)
    odd.set(object())

    with pytest.raises(ArgumentError, match="odd"):
        check.enqueue("no")


def test_two_variables_of_a_name_are_refused() -> None:
    carry(tenant)
    carry(tenant)
    with pytest.raises(Error, match="two context variables 'tenant'"):
        carry(ContextVar("tenant"))
    with pytest.raises(Error, match="is not a ContextVar"):
        carry("tenant")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
