"""Whatever is wrong with an enqueue is said at once, in one clear error, and stores nothing."""

from __future__ import annotations

import asyncio
import functools
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import refused
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client, enqueue_many
from jobsd.errors import ArgumentError, EnqueueError, Error
from jobsd.jobs.definition import Job, job

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from jobsd.database.connection import Session, Target

DAY = datetime(2100, 1, 1, tzinfo=UTC)


@job
def note(value: object, *, kindly: bool = True) -> None: ...


UNTYPED: Any = note


class Clean(Job):
    def perform(self, folder: str) -> None: ...


UNTYPED_CLASS: Any = Clean


@pytest.fixture(autouse=True)
def _configured(target: Target, session: Session) -> Iterator[None]:
    client.configure(client=Client(target))
    yield
    client.configure()
    row = session.connection.execute("SELECT count(*) FROM jobsd.jobs").fetchone()
    assert row == (0,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(
            ({"queue": name}, r"is not a queue name: 1 to 255 bytes .* without '\*'")
            for name in (*refused.QUEUES, "a\0b", "\ud800", 7)
        ),
        ({"priority": 1.5}, "1.5 is not a priority"),
        ({"priority": 1.0}, "1.0 is not a priority"),
        ({"priority": Decimal(1)}, "is not a priority"),
        ({"priority": True}, "True is not a priority"),
        ({"priority": "1"}, "'1' is not a priority"),
        ({"priority": 2**31}, "from -2147483648 to 2147483647"),
        ({"priority": -(2**31) - 1}, "from -2147483648 to 2147483647"),
        ({"wait": -1}, "wait: -1 is not a duration"),
        ({"wait": float("nan")}, "wait: nan is not a duration"),
        ({"wait": float("inf")}, "wait: inf is not a duration"),
        ({"wait": True}, "wait: True is not a duration"),
        (
            {"wait": "soon"},
            "wait: 'soon' is not a duration; use seconds, or e.g. 250ms, 30s, 10m, 2h, 1d",
        ),
        ({"wait": 10**400}, "is not a duration"),
        ({"wait": 1e300}, "longer than a hundred years"),
        ({"wait": "36501d"}, "longer than a hundred years"),
        ({"wait": timedelta(days=365 * 101)}, "longer than a hundred years"),
        ({"wait": timedelta.max}, "longer than a hundred years"),
        ({"wait_until": DAY.replace(tzinfo=None)}, "has no time zone"),
        ({"wait_until": DAY.replace(year=2201)}, "more than a hundred years"),
        ({"wait_until": datetime.max.replace(tzinfo=UTC)}, "more than a hundred years"),
        ({"wait_until": DAY.date()}, "is not a datetime"),
        ({"wait_until": DAY.timestamp()}, "is not a datetime"),
        ({"wait_until": DAY.isoformat()}, "is not a datetime"),
        ({"wait": 1, "wait_until": DAY}, "not both"),
        ({"wait": 0, "wait_until": DAY}, "not both"),
    ],
    ids=repr,
)
def test_an_impossible_option_is_refused(options: dict[str, Any], said: str) -> None:
    for using in (note.using(**options), Clean.using(**options)):
        with pytest.raises(Error, match=said):
            using.enqueue("x")
        with pytest.raises(Error, match=said):
            using.with_args("x")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (UNTYPED.enqueue, r"note\(\) missing a required argument: 'value'"),
        (lambda: UNTYPED.enqueue(1, 2), r"note\(\) too many positional arguments"),
        (lambda: UNTYPED.enqueue(1, cruelly=1), r"note\(\) got an unexpected keyword"),
        (lambda: UNTYPED.with_args(1, value=1), r"note\(\) multiple values for argument"),
        (lambda: UNTYPED.using(wait=1).enqueue(), r"note\(\) missing"),
        (Clean.enqueue, r"Clean\.perform\(\) missing a required argument: 'folder'"),
        (lambda: UNTYPED_CLASS.enqueue("a", "b"), r"Clean\.perform\(\) too many"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_as_python_does(
    call: Callable[[], object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        call()


@pytest.mark.parametrize("text", ["a\0b", "\udfff", {"\0": 1}, ["x", ("\0",)], 1j], ids=repr)
def test_text_that_can_not_be_stored_is_refused_with_its_place(text: object) -> None:
    for put in (lambda: note.enqueue(text), lambda: enqueue_many([note.with_args(text)])):
        with pytest.raises(ArgumentError, match="argument 1"):
            put()


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n" * 1001, 7], ids=lambda n: repr(n)[:9])
def test_a_name_that_can_not_be_stored_is_refused_at_its_definition(name: Any) -> None:
    with pytest.raises(Error, match="is not a name of a job: 1 to 1000 characters"):
        job(name=name)(lambda: None)
    with pytest.raises(Error, match="is not a name of a job"):
        type("Odd", (Clean,), {"name": name})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(({"queue": name}, "is not a queue name") for name in refused.QUEUES),
        ({"priority": 1.5}, "1.5 is not a priority"),
        ({"priority": 2**31}, "is not a priority"),
        ({"max_attempts": 0}, "max_attempts: 0 is not a whole number"),
        ({"max_attempts": 1.5}, "max_attempts: 1.5 is not a whole number"),
        ({"max_attempts": True}, "max_attempts: True is not a whole number"),
        ({"max_attempts": 2**31}, "max_attempts: 2147483648 is not a whole number"),
        ({"retry_on": 7}, "retry_on: 7 is not a class of exceptions"),
        ({"discard_on": "OSError"}, "discard_on: 'OSError' is not a class of exceptions"),
        ({"discard_on": None}, "discard_on: None is not a class of exceptions"),
        ({"backoff": 7}, r"backoff: 7 is not a function; constant\(7\) makes one"),
    ],
    ids=repr,
)
def test_an_impossible_option_is_refused_at_the_definition(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Error, match=said):
        job(name="odd", **options)(lambda: None)
    with pytest.raises(Error, match=said):
        type("Odd", (Clean,), options)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("max_attempt", "max_attempts"),
        ("limit_concurrency", "limits_concurrency"),
        ("prioirty", "priority"),
        ("queues", "queue"),
        ("discardon", "discard_on"),
        ("back_off", "backoff"),
    ],
)
def test_a_misspelt_option_of_a_class_is_refused_with_the_right_one(
    written: str, meant: str
) -> None:
    with pytest.raises(
        Error, match=f"Typo: '{written}' is not an option of a job; write '{meant}'"
    ):
        type("Typo", (Job,), {written: 1})


def test_a_class_may_have_attributes_of_its_own() -> None:
    own = ("names", "retry", "retries", "discard", "attempts", "limit", "queue_name", "_queues")

    made = type("Rich", (Job,), dict.fromkeys(own, 1))

    assert all(hasattr(made, name) for name in own)


def test_an_iterable_without_drafts_is_refused_in_words() -> None:
    for given in (note, (note, (1,)), "note", None):
        with pytest.raises(EnqueueError, match="is not a job with arguments"):
            enqueue_many([note.with_args(1), given])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def test_a_generator_is_no_job_since_a_call_runs_nothing() -> None:
    def steps() -> Generator[int]:
        yield 1

    async def more_steps() -> AsyncGenerator[int]:
        yield 1

    for function in (steps, more_steps):
        with pytest.raises(Error, match="is a generator"):
            job(function)


def test_an_asynchronous_job_behind_a_decorator_runs_to_its_end() -> None:
    ran: list[str] = []

    async def slow(how: str) -> str:
        await asyncio.sleep(0)
        ran.append(how)
        return how

    @functools.wraps(slow)
    def traced(how: str) -> Any:
        return slow(how)

    @functools.wraps(slow)
    def awaited(how: str) -> Any:
        return asyncio.run(slow(how))

    done = [
        job(name="traced")(traced).perform_now("traced"),
        job(name="awaited")(awaited).perform_now("awaited"),
    ]

    assert done == ran == ["traced", "awaited"]


@pytest.mark.parametrize(
    "options",
    [
        {"wait": timedelta.min},
        {"wait": timedelta(seconds=-1)},
        {"wait_until": datetime.min.replace(tzinfo=UTC)},
        {"wait_until": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
    ],
    ids=repr,
)
def test_a_time_that_is_over_is_no_fault(options: dict[str, Any], session: Session) -> None:
    states = [
        note.using(**options).enqueue(1).state,
        *(one.state for one in enqueue_many([note.using(**options).with_args(1)])),
    ]

    assert states == ["ready", "ready"]
    # Python knows no year before the first.
    session.connection.execute("SELECT scheduled_at FROM jobsd.jobs").fetchall()
    session.connection.execute("DELETE FROM jobsd.jobs")


def test_a_hundred_years_less_a_day_will_do(session: Session) -> None:
    assert note.using(wait="36499d").enqueue(1).state == "scheduled"
    moment = datetime.now(UTC) + timedelta(days=36499)
    assert note.using(wait_until=moment).enqueue(1).state == "scheduled"
    session.connection.execute("DELETE FROM jobsd.jobs")
