"""What a job sets of its context no other job finds, whatever becomes of it."""

from __future__ import annotations

import asyncio
import decimal
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from structlog.contextvars import bind_contextvars, get_contextvars

from jobsd.arguments.arguments import argument_type
from jobsd.events import hooks
from jobsd.events.hooks import on_event
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import Job, job
from jobsd.jobs.policy import Retry, Snooze

from .bodies import noted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.events.event_list import Event

    from .conftest import MakeWorker

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
AMOUNT = Decimal("1234567.89")
CLEAN: tuple[str, str, dict[str, object]] = ("nobody", "1234567.89", {})


def _leave_all_behind() -> None:
    tenant.set("ACME")
    decimal.setcontext(decimal.Context(prec=4))
    bind_contextvars(tenant="ACME")


def _backoff(_attempt: int) -> float:
    _leave_all_behind()
    return 3600.0


@argument_type
@dataclass
class Peculiar:
    """Sets the context where it is read."""

    value: int

    def __post_init__(self) -> None:
        tenant.set("ACME")


class PeculiarError(Exception):
    def __str__(self) -> str:
        tenant.set("ACME")
        decimal.getcontext().prec = 4
        return "peculiar"


@job
def read() -> None:
    noted.append((tenant.get(), str(+AMOUNT), dict(get_contextvars())))


@job
async def read_asynchronously() -> None:
    noted.append((tenant.get(), str(+AMOUNT), dict(get_contextvars())))


@job
def finish() -> None:
    _leave_all_behind()


@job
async def finish_asynchronously() -> None:
    _leave_all_behind()


@job(max_attempts=2, backoff=_backoff)
def fail_and_wait() -> None:
    raise KeyError


@job
def fail() -> None:
    _leave_all_behind()
    raise PeculiarError


@job
def snooze() -> None:
    _leave_all_behind()
    raise Snooze(3600)


@job(max_attempts=2)
def retry() -> None:
    _leave_all_behind()
    raise Retry(after=3600)


@job
def leave() -> None:
    _leave_all_behind()
    raise SystemExit(1)


@job
def take(what: Peculiar) -> None:
    del what


class InAClass(Job):
    def perform(self) -> None:
        _leave_all_behind()


EVERY_END = [
    finish,
    finish_asynchronously,
    fail_and_wait,
    fail,
    snooze,
    retry,
    leave,
    InAClass,
]


@pytest.mark.parametrize("reads", [read, read_asynchronously])
@pytest.mark.parametrize("end", EVERY_END, ids=lambda end: end.__name__)
def test_no_job_finds_the_context_of_the_one_before(
    end: Any, reads: Any, make_worker: MakeWorker
) -> None:
    for _ in range(2):
        end.enqueue()
        reads.enqueue()
    driven = make_worker(threads=1)

    driven.until(lambda: len(noted) == 2)

    assert noted == [CLEAN, CLEAN]


def test_a_context_variable_set_while_arguments_load_stays_with_its_job(
    make_worker: MakeWorker,
) -> None:
    copy_context().run(lambda: take.enqueue(Peculiar(1)))
    read.enqueue()
    driven = make_worker(threads=1)

    driven.until(lambda: len(noted) == 1)

    assert noted == [CLEAN]


def test_a_job_sees_its_own_context_and_id(make_worker: MakeWorker) -> None:
    enqueued = both.enqueue()
    driven = make_worker(threads=1)

    driven.until(lambda: len(noted) == 1)

    assert noted == [("ACME", enqueued.id)]


@job
def both() -> None:
    _leave_all_behind()
    noted.append((tenant.get(), current_job().id))


def test_the_task_of_a_job_has_the_name_of_its_class(make_worker: MakeWorker) -> None:
    name_task.enqueue()
    driven = make_worker(coroutines=2)

    driven.until(lambda: noted == [name_task.definition.name])


@job
async def name_task() -> None:
    task = asyncio.current_task()
    noted.append(task and task.get_name())


@pytest.fixture(autouse=True)
def _without_hooks() -> Iterator[None]:
    yield
    hooks.reset()


def test_a_context_variable_set_by_a_start_hook_is_seen_only_by_its_job(
    make_worker: MakeWorker,
) -> None:
    @on_event("job.started")
    def name_the_tenant(_event: Event, facts: dict[str, Any]) -> None:
        if facts["class_name"] == both_names.definition.name:
            tenant.set("ACME")

    both_names.enqueue()
    read.enqueue()
    driven = make_worker(threads=1)

    driven.until(lambda: len(noted) == 2)

    assert noted == ["ACME", CLEAN]


@job
def both_names() -> None:
    noted.append(tenant.get())


def test_a_context_variable_set_by_another_hook_stays_with_the_hook(
    make_worker: MakeWorker,
) -> None:
    heard: list[str] = []

    @on_event("job.finished")
    def leave_all_behind(_event: Event, _facts: dict[str, Any]) -> None:
        heard.append(tenant.get())
        tenant.set("ACME")

    read.enqueue()
    read.enqueue()
    driven = make_worker(threads=1)

    driven.until(lambda: len(heard) == 2)

    assert (heard, tenant.get()) == (["nobody", "nobody"], "nobody")
