"""The table of job options, and its readers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

import pytest

from jobsd import Error, Job, job
from jobsd.jobs import published
from jobsd.jobs.draft import Draft
from jobsd.jobs.job_options import OPTIONS, USING, JobOptions, UsingOptions, read

if TYPE_CHECKING:
    from rows import Rows


@job
def plain() -> None:
    """Do nothing."""


WRONG: dict[str, Any] = {
    "queue": "a,b",
    "priority": 0.5,
    "max_attempts": 0,
    "backoff": 3,
    "limits_concurrency": 1,
    "timeout": "soon",
    "kill_after": 100_000,
    "result_ttl": 0,
    "unique": True,
    "expires_in": 0,
    "tags": "billing",
    "name": "",
}


def test_rows_types_and_attributes_of_classes_have_the_same_names() -> None:
    attributes = [name for name in Job.__annotations__ if name in OPTIONS]

    assert list(OPTIONS) == list(JobOptions.__annotations__) == attributes
    assert {*USING, "unique_key"} == UsingOptions.__annotations__.keys()


def test_a_class_without_attributes_has_the_defaults_of_the_table() -> None:
    class Plain(Job):
        def perform(self) -> None:
            """Do nothing."""

    rows = {name: row for name, row in OPTIONS.items() if name not in {"name", "backoff"}}
    assert {name: getattr(Plain, name) for name in rows} == {
        name: row.default for name, row in rows.items()
    }


def _perform(_self: Job) -> None:
    pass


@pytest.mark.parametrize("name", WRONG)
def test_a_function_and_a_class_refuse_an_invalid_option_by_one_sentence(name: str) -> None:
    with pytest.raises(Error) as of_table:
        read({name: WRONG[name]})
    with pytest.raises(Error) as of_function:
        job(**cast("JobOptions", {name: WRONG[name]}))(lambda: None)
    with pytest.raises(Error) as of_class:
        type("Wrong", (Job,), {name: WRONG[name], "perform": _perform})

    assert str(of_function.value) == str(of_class.value) == str(of_table.value)


@pytest.mark.parametrize("name", USING)
def test_using_refuses_an_invalid_option_by_the_sentence_of_its_row(name: str) -> None:
    wrong = WRONG.get(name, "never")
    with pytest.raises(Error) as of_table:
        USING[name].read(wrong)
    with pytest.raises(Error) as of_using:
        plain.using(**cast("UsingOptions", {name: wrong})).with_args()

    assert str(of_using.value) == str(of_table.value)


def test_a_keyword_that_is_no_option_is_refused_as_python_refuses_it() -> None:
    with pytest.raises(TypeError, match=r"job\(\) got an unexpected keyword argument 'que'"):
        job(**cast("JobOptions", {"que": "mail"}))
    with pytest.raises(TypeError, match=r"using\(\) got an unexpected keyword argument 'prio'"):
        plain.using(**cast("UsingOptions", {"prio": 1}))


def test_signatures_name_all_options_with_their_defaults() -> None:
    of_job = inspect.signature(job).parameters
    of_using = inspect.signature(plain.using).parameters

    assert [*of_job] == ["function", *OPTIONS]
    assert {name: of_job[name].default for name in OPTIONS} == {
        name: row.default for name, row in OPTIONS.items()
    }
    assert [*of_using] == [*UsingOptions.__annotations__, "connection", "after_commit"]


def test_what_using_takes_has_a_field_of_a_draft() -> None:
    assert {row.field for row in USING.values()} < {*Draft.__slots__}


def test_each_column_of_the_table_is_published_and_is_a_column_of_definitions(
    rows: Rows,
) -> None:
    columns = {row.column for row in OPTIONS.values() if row.column is not None}
    published_by_rows = {row.column for row in OPTIONS.values() if row.of is not None}

    stored = rows(
        "SELECT attname::text FROM pg_attribute"
        " WHERE attrelid = 'jobsd.definitions'::regclass AND attnum > 0"
    )
    assert columns <= {*stored}
    assert published_by_rows <= published.published_row(plain.definition).keys()
    assert columns - published_by_rows == {"concurrency", "uniqueness"}
