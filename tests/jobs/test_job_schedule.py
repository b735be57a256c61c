"""The schedule of a job's definition: what is refused where it is written."""

from __future__ import annotations

from typing import Any

import pytest

from jobsd import Error, Job, job
from jobsd.jobs import registry


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no schedule of a test stay known."""
    monkeypatch.setattr(
        registry, "_definitions", {each.name: each for each in registry.definitions()}
    )


def test_a_schedule_has_the_name_of_its_job_as_its_key() -> None:
    @job(schedule="every day at 3am", name="nightly")
    def sweep() -> None: ...

    given = sweep.definition.schedule

    assert given is not None
    assert (given.phrase, given.arguments_json, given.key) == (
        "every day at 3am",
        "[]",
        "nightly",
    )


def test_a_schedule_names_the_line_that_defines_its_job() -> None:
    @job(schedule="every hour")
    def here() -> None: ...

    given = here.definition.schedule

    assert given is not None
    line = here.definition.perform.__code__.co_firstlineno
    assert (given.file, given.line) == (__file__, line)


@pytest.mark.parametrize(
    ("args", "stored"),
    [
        (5, "[5]"),
        ("a text", '["a text"]'),
        ([5, {"b": 6}], '[5,{"$keywords":{"b":6}}]'),
        ({"a": 5}, '{"a":5}'),
        ((5, 6), "[5,6]"),
    ],
)
def test_schedule_args_are_read_as_those_of_the_file(args: object, stored: str) -> None:
    @job(schedule="every hour", schedule_args=args)
    def add(a: object, b: int = 0) -> None:
        del a, b

    given = add.definition.schedule

    assert given is not None
    assert registry.get(add.definition.name) is add.definition
    assert given.arguments_json == stored


def test_a_class_has_a_schedule_by_its_attributes() -> None:
    class Nightly(Job):
        schedule = "every day at 3am"
        schedule_args = (7,)
        schedule_key = "nightly"

        def perform(self, days: int) -> None:
            del days

    given = Nightly.definition.schedule

    assert given is not None
    assert (given.arguments_json, given.key) == ("[7]", "nightly")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"schedule": "every blue moon"}, "not understood"),
        ({"schedule": 3}, "schedule: 3 is not a text"),
        ({"schedule": "every hour", "schedule_key": "a\nb"}, "schedule_key: 'a\\nb' is not"),
        ({"schedule": "every hour", "name": "é" * 200}, "give a schedule_key"),
        ({"schedule_key": "k"}, "schedule_key needs a schedule"),
        ({"schedule_args": []}, "schedule_args needs a schedule"),
        ({"schedule": "every hour", "schedule_args": [1]}, "schedule_args do not fit: "),
        ({"schedule": "every hour", "schedule_args": [object()]}, "too many|can't be stored"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_refused_at_the_definition(
    options: dict[str, Any], wrong: str
) -> None:
    def sweep() -> None: ...

    with pytest.raises(Error, match=wrong.replace("\\", r"\\")):
        job(**options)(sweep)


def test_arguments_that_can_not_be_stored_are_refused_at_the_definition() -> None:
    def sweep(what: object) -> None:
        del what

    with pytest.raises(Error, match="can't be stored as JSON"):
        job(schedule="every hour", schedule_args=[object()])(sweep)


def test_a_required_argument_without_schedule_args_is_refused_at_the_definition() -> None:
    def remind(user_id: int) -> None:
        del user_id

    with pytest.raises(Error, match=r"it needs schedule_args: .*'user_id'"):
        job(schedule="every hour")(remind)


def test_two_jobs_with_the_same_key_are_refused() -> None:
    @job(schedule="every hour", schedule_key="same")
    def first() -> None: ...

    def second() -> None: ...

    with pytest.raises(Error, match="two jobs have the schedule_key 'same'"):
        job(schedule="every hour", schedule_key="same")(second)
    assert first.definition.schedule is not None


def test_a_job_that_is_defined_again_keeps_its_key() -> None:
    def again() -> None: ...

    for _ in range(2):
        job(schedule="every hour", schedule_key="kept")(again)

    assert registry.get(f"{__name__}.{again.__qualname__}").schedule is not None
