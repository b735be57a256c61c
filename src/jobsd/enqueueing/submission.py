"""Enqueueing as a role with no other rights: `db grants --enqueue-only`.

The role may not write to the tables. It calls one function that runs as their owner, for one
job or many. Other programs do not pay for it: on a connection of ours, which commits by
itself, the refusal shows the role. In a caller's transaction a refusal would end that, so
there the server is asked first, once in a process.
"""

import json
from collections.abc import Iterable
from typing import Any

from psycopg import errors

from jobsd.database.portions import BYTES_MAX
from jobsd.database.statements import Statement, Statements, as_text
from jobsd.jobs.draft import Draft
from jobsd.text import byte_size

from .drivers import sqlstate
from .steps import Ask, Steps

STATEMENTS = Statements("jobsd.enqueueing", "submission.sql")

_submits: dict[str, bool] = {}


def is_known(schema: str) -> bool:
    """Return whether this program's role is known to have to submit."""
    return _submits.get(schema, False)


def is_refusal(error: BaseException | None) -> bool:
    """Return whether the server has refused since the role may not."""
    return error is not None and sqlstate(error) == errors.InsufficientPrivilege.sqlstate


def know(schema: str) -> None:
    """Remember that this program's role has to submit."""
    _submits[schema] = True


def forget(schema: str, error: BaseException) -> None:
    """Ask again the next time, since the known rights may have been wrong."""
    if is_refusal(error):
        _submits.pop(schema, None)


def forget_all() -> None:
    """Forget what is known of each schema: it was learned from another database or role."""
    _submits.clear()


def is_needed(schema: str) -> Steps[bool]:
    """Find out whether this program's role has to submit; asks the server once in a process."""
    if schema not in _submits:
        ((_submits[schema],),) = yield Ask(STATEMENTS["submits"])
    return _submits[schema]


def request(job: Draft, *, always: bool) -> tuple[Statement, dict[str, Any]]:
    """Return the statement that submits a job, and its parameters."""
    return STATEMENTS["submit"], {"jobs": f"[{as_json(job, always=always)}]"}


def fields(job: Draft) -> dict[str, str]:
    """Return what a job says, by the names of the type `submitted`, all as texts."""
    values = job.columns()
    values |= {"wait_s": job.wait_s, "wait_until": job.wait_until}
    values["expires_in_s"] = job.expires_in_s
    if job.limited is not None:
        values |= job.limited._asdict()
    if job.unique is not None:
        values |= job.unique._asdict()
    texts = {name: as_text(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if text is not None}


def as_json(job: Draft, *, always: bool) -> str:
    """Return a job as the functions `store` and `submit` take it."""
    return json.dumps({**fields(job), "always": always}, ensure_ascii=False)


def requests(statement: Statement, rows: Iterable[str]) -> Iterable[Ask]:
    """Return what stores many jobs, as few statements as memory bears."""
    taken: list[str] = []
    size = 0
    for each in rows:
        if taken and size + byte_size(each) > BYTES_MAX:
            yield Ask(statement, {"jobs": f"[{','.join(taken)}]"})
            taken, size = [], 0
        taken.append(each)
        size += byte_size(each) + 1
    if taken:
        yield Ask(statement, {"jobs": f"[{','.join(taken)}]"})
