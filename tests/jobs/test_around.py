"""What surrounds jobs and enqueues, in which order, with what it is told."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.enqueueing import client
from jobsd.enqueueing.client import enqueue_many
from jobsd.errors import Error
from jobsd.events.bound_job import running_job
from jobsd.jobs import middleware
from jobsd.jobs.current import CurrentJob, current_job
from jobsd.jobs.definition import Job, job
from jobsd.jobs.draft import EnqueuedJob
from jobsd.jobs.middleware import around_enqueue, around_job

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from jobsd.jobs.draft import Draft
    from rows import Rows

    Surrounding = Generator[None, Any]

reported: list[object] = []
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@pytest.fixture(autouse=True)
def _nothing_around() -> Iterator[None]:
    reported.clear()
    yield
    middleware.JOBS.forget()
    middleware.ENQUEUES.forget()


@job
def pay(order: int, *, by: str = "card") -> str:
    if not order:
        raise ValueError("no order")
    reported.append(("job", tenant.get()))
    return f"{order} by {by}"


@job
async def pay_soon(order: int) -> str:
    await asyncio.sleep(0)
    return pay(order)


class Ship(Job):
    def perform(self, *parcels: str, **labels: str) -> None:  # noqa: ARG002
        reported.append(current_job().arguments)


def _surround(name: str) -> Callable[[CurrentJob], Surrounding]:
    def surround(job: CurrentJob) -> Surrounding:
        reported.append((name, "before", job.arguments))
        try:
            result = yield
        except ValueError as error:
            reported.append((name, "raised", str(error)))
            raise
        reported.append((name, "after", result))

    return surround


def test_the_first_that_is_registered_is_the_outermost() -> None:
    around_job(_surround("outer"))
    around_job(_surround("inner"))

    assert pay.perform_now(7) == "7 by card"
    arguments = {"order": 7, "by": "card"}
    assert reported == [
        ("outer", "before", arguments),
        ("inner", "before", arguments),
        ("job", "nobody"),
        ("inner", "after", "7 by card"),
        ("outer", "after", "7 by card"),
    ]


def test_the_exception_of_a_job_comes_to_each_and_goes_on() -> None:
    around_job(_surround("outer"))
    around_job(_surround("inner"))

    with pytest.raises(ValueError, match="no order"):
        pay.perform_now(0)

    assert reported[2:] == [("inner", "raised", "no order"), ("outer", "raised", "no order")]


def test_an_error_caught_by_around_job_does_not_fail_the_job() -> None:
    @around_job
    def forgive(_job: CurrentJob) -> Surrounding:
        try:
            yield
        except ValueError:
            reported.append("forgiven")

    assert pay.perform_now(0) is None
    assert reported == ["forgiven"]


def test_a_job_finds_the_context_that_was_set_around_it() -> None:
    @around_job
    def with_tenant(_job: CurrentJob) -> Surrounding:
        token = tenant.set("ACME")
        yield
        tenant.reset(token)

    pay.perform_now(1)

    assert (reported, tenant.get()) == ([("job", "ACME")], "nobody")


@pytest.mark.parametrize("plain_first", [True, False])
def test_both_kinds_of_generators_surround_a_coroutine(*, plain_first: bool) -> None:
    async def with_loop(job: CurrentJob) -> AsyncGenerator[None, Any]:
        await asyncio.sleep(0)
        reported.append(("loop", asyncio.get_running_loop().is_running(), job.class_name))
        reported.append(("loop", (yield)))

    functions: list[Any] = [_surround("plain"), with_loop]
    for function in functions if plain_first else functions[::-1]:
        around_job(function)

    done: object = pay_soon.perform_now(3)

    assert done == "3 by card"
    plain = ("plain", "before", {"order": 3})
    before = [plain, ("loop", True, f"{__name__}.pay_soon")]
    after = [("loop", "3 by card"), ("plain", "after", "3 by card")]
    assert reported == [
        *(before if plain_first else before[::-1]),
        ("job", "nobody"),
        *(after if plain_first else after[::-1]),
    ]


def test_an_asynchronous_around_job_does_not_surround_a_plain_function() -> None:
    @around_job
    async def never(_job: CurrentJob) -> AsyncGenerator[None, Any]:
        reported.append("surrounded")
        yield

    pay.perform_now(1)

    assert reported == [("job", "nobody")]


def test_a_part_of_a_job_is_surrounded_with_the_job_alone() -> None:
    @job(name="whole")
    def whole() -> None:
        pay.perform_now(2)

    around_job(_surround("once"))
    whole.perform_now()

    assert [each for each in reported if isinstance(each, tuple) and each[0] == "once"] == [
        ("once", "before", {}),
        ("once", "after", None),
    ]


def test_a_job_knows_its_arguments_by_their_names() -> None:
    Ship.perform_now("a", "b", to="Loch Lomond")

    assert reported == [{"parcels": ("a", "b"), "labels": {"to": "Loch Lomond"}}]


def test_its_arguments_come_in_the_order_of_its_parameters() -> None:
    reported.append(list(CurrentJob(1, 1, "q", f"{__name__}.pay", None, ((7,), {})).arguments))

    assert reported == [["order", "by"]]


def test_a_function_that_is_no_generator_is_refused() -> None:
    with pytest.raises(Error, match=r"around_job: .* is not a generator function; write"):
        around_job(lambda _job: None)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def _silent(job: CurrentJob) -> Surrounding:
    if not job:
        yield


def _again(_job: CurrentJob) -> Surrounding:
    yield
    yield


def _after_an_error(_job: CurrentJob) -> Surrounding:
    try:
        yield
    except ValueError:
        yield


async def _silent_soon(job: CurrentJob) -> AsyncGenerator[None, Any]:
    if not job:
        yield


async def _again_soon(_job: CurrentJob) -> AsyncGenerator[None, Any]:
    yield
    yield


async def _soon_after_an_error(_job: CurrentJob) -> AsyncGenerator[None, Any]:
    try:
        yield
    except ValueError:
        yield


@pytest.mark.parametrize(
    ("surround", "order", "says"),
    [
        (_silent, 1, "has ended without a `yield`"),
        (_again, 1, "yields a second time"),
        (_after_an_error, 0, "yields a second time"),
        (_silent_soon, 1, "has ended without a `yield`"),
        (_again_soon, 1, "yields a second time"),
        (_soon_after_an_error, 0, "yields a second time"),
    ],
)
def test_a_generator_that_does_not_yield_once_fails_the_job_and_is_named(
    surround: Callable[[CurrentJob], Any], order: int, says: str
) -> None:
    around_job(surround)

    with pytest.raises(Error, match=f"^{surround.__name__} {says}"):
        pay_soon.perform_now(order)
    if "soon" not in surround.__name__:
        with pytest.raises(Error, match=f"^{surround.__name__} {says}"):
            pay.perform_now(order)


@around_enqueue
def _trace(job: CurrentJob) -> Surrounding:
    job.context["trace"] = f"of {job.arguments['order']}"
    reported.append((job.id, job.class_name, job.queue_name))
    reported.append((yield))


middleware.ENQUEUES.forget()

CONTEXTS = "SELECT arguments -> 0, context FROM jobsd.jobs ORDER BY id"


@pytest.mark.usefixtures("default_client")
def test_the_context_of_a_job_is_stored_with_it_however_it_is_enqueued(rows: Rows) -> None:
    around_enqueue(_trace)
    first = pay.enqueue(1)
    pay.using(wait=3600).enqueue(2)
    with client.default_client().session() as session, session.connection.transaction():
        pay.using(connection=session.connection).enqueue(3)
    enqueue_many(pay.with_args(number) for number in (4, 5))

    assert rows(CONTEXTS) == [(number, {"trace": f"of {number}"}) for number in range(1, 6)]
    assert reported[:2] == [(0, f"{__name__}.pay", "default"), first]
    assert reported[-1] == EnqueuedJob(None, "pending")


@pytest.mark.usefixtures("default_client")
def test_a_job_without_a_context_stores_none(rows: Rows) -> None:
    around_enqueue(_surround("enqueue"))
    pay.enqueue(1)

    assert rows(CONTEXTS) == [(1, None)]


@pytest.mark.parametrize(
    ("context", "says"),
    [({"at": object()}, "written as JSON"), ({"long": "x" * 10_000}, "10,012 bytes")],
)
def test_a_context_that_cant_be_stored_is_refused(context: dict[str, Any], says: str) -> None:
    @around_enqueue
    def put(job: CurrentJob) -> Surrounding:
        job.context.update(context)
        yield

    with pytest.raises(Error, match=f"the context of a job .*{says}"):
        pay.enqueue(1)


def test_the_error_of_an_enqueue_is_reported_and_can_not_be_lost() -> None:
    @around_enqueue
    def swallow(_job: CurrentJob) -> Surrounding:
        try:
            yield
        except Error as error:
            reported.append(error)

    def refuse(_job: object) -> EnqueuedJob:
        raise Error("refused")

    with pytest.raises(Error, match="refused") as caught:
        middleware.enqueue(pay.with_args(1), refuse)

    assert reported == [caught.value]


def test_an_enqueue_that_is_awaited_is_surrounded_by_both_kinds() -> None:
    @around_enqueue
    async def put(job: CurrentJob) -> AsyncGenerator[None, Any]:
        await asyncio.sleep(0)
        job.context["by"] = "loop"
        reported.append((yield))

    async def store(drafted: Draft) -> EnqueuedJob:
        reported.append(drafted.context)
        return EnqueuedJob(7, "ready")

    around_enqueue(_trace)
    assert asyncio.run(middleware.aenqueue(pay.with_args(4), store)).id == 7
    assert reported[1:] == ['{"by": "loop", "trace": "of 4"}', *[EnqueuedJob(7, "ready")] * 2]


def test_no_job_is_left_as_the_current_one() -> None:
    around_job(_surround("once"))
    pay.perform_now(1)

    assert running_job.get() is None
