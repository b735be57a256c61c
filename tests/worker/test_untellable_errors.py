"""A job's failure is recorded whatever goes wrong while its error is put into words."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NoReturn

import pytest

from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@job
def fail_for_a_cause() -> None:
    try:
        raise KeyError("the cause")  # noqa: TRY301 - a cause is what is wanted
    except KeyError as error:
        raise ValueError("the failure") from error


@pytest.mark.failure(
    "The stack of a job's error can't be formatted: two threads of CPython 3.11 parse at"
    " once, or a class of the job's own raises.",
    "The job still fails with its type and message, and its frames are listed",
)
@pytest.mark.parametrize("broken", ["from_exception", "format"])
def test_a_job_with_an_unformattable_stack_fails_with_its_own_error(
    make_worker: MakeWorker,
    session: Session,
    count: Count,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    def mismatch(*_: object, **__: object) -> NoReturn:
        raise SystemError("AST constructor recursion depth mismatch (before=9, after=11)")

    monkeypatch.setattr(traceback.TracebackException, broken, mismatch)
    fail_for_a_cause.enqueue()

    make_worker().until(lambda: count("failed_executions"))

    ((error,),) = session.connection.execute(
        "SELECT error FROM jobsd.attempts JOIN jobsd.failed_executions USING (job_id, error)"
    ).fetchall()
    assert (error["type"], error["message"]) == ("ValueError", "the failure")
    assert error["stack"].splitlines()[-1] == "ValueError"
    assert "\nKeyError\n" in error["stack"]
