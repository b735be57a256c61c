"""The results of jobs, kept only for jobs with a `result_ttl`.

A worker writes a result in the transaction that records the end of its job, and notifies the
registered waiters. A result outlives the row of its job; dispatchers delete it when its time to
live is over.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobsd.arguments import arguments
from jobsd.database.connection import Row, Session, Statements
from jobsd.database.portions import IDS_MAX
from jobsd.errors import ArgumentError, ResultError

STATEMENTS = Statements("jobsd.states", "results.sql")

BATCH = 10_000
"""The maximum of results that one statement deletes."""


class End(NamedTuple):
    """The end of a job: finished, failed or discarded; None if it has not ended.

    "gone": the row does not exist. `kept`: there is a result, whose JSON text is
    `result`; `unread`: neither the result nor the error could be read in time. `created_us` is
    the time of creation of the job that has the id now, in microseconds since 1970.
    """

    id: int
    state: str | None
    kept: bool = False
    result: str | None = None
    error: dict[str, Any] | None = None
    unread: bool = False
    created_us: int | None = None

    @property
    def value(self) -> Any:  # noqa: ANN401 - the user's own
        """The return value of the job."""
        return value(self.result)


def dump(class_name: str, value: object) -> str:
    """Return a result as the JSON text that is stored.

    Raises:
        ResultError: when it can't be written, or is too large.
    """
    try:
        return arguments.dump((value,), {})
    except ArgumentError as error:
        why = str(error).replace("argument 1", "it").replace("the arguments take", "it takes")
        raise ResultError(class_name, why) from None


def ends(session: Session, ids: Sequence[int]) -> list[End]:
    """Return the ends of some jobs; for `unread` ones `values` returns the other fields."""
    rows: list[Row] = []
    for at in range(0, len(ids), IDS_MAX):
        rows += session.fetch(STATEMENTS["ends"], {"ids": ids[at : at + IDS_MAX]})
    return [
        End(job_id, state, unread=more, created_us=created_us)
        for job_id, state, more, created_us in rows
    ]


def values(session: Session, ids: Sequence[int], most: int) -> dict[int, dict[str, Any]]:
    """Return the fields of `End` that were left out, of the first of these jobs.

    They come to `most` bytes, or are of one job.
    """
    rows = session.fetch(STATEMENTS["values"], {"ids": ids, "most": most})
    return {
        job_id: {"kept": kept, "result": result, "error": error}
        for job_id, kept, result, error in rows
    }


def value(text: str | None) -> Any:  # noqa: ANN401 - the user's own
    """Return the return value of a job, from its JSON text."""
    return None if text is None else arguments.load(text)[0][0]


def clear(session: Session) -> int:
    """Delete expired results, `BATCH` at most; return their number."""
    return int(session.fetch(STATEMENTS["clear"])[0][0])
