"""The end of a job in the transaction of its own effects: both are committed, or neither is.

The job's thread asks the control thread for a claim of its own, since a claim is of many jobs
and the user's transaction may stay open for long: no turn of the worker may wait for it. Then
the thread records the success, and marks that claim, through the user's connection. The
control thread finds out the outcome of that transaction once the job has returned. Only then
it removes the claim: with it goes the slot that the function has used until its end.

A transaction that keeps one snapshot (REPEATABLE READ, SERIALIZABLE) must not be older than the
claim that it changes. So `completing` asks for the claim before the first statement.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd import clock, errors
from jobsd.database.statements import Statement, Statements
from jobsd.jobs import interrupts, registry
from jobsd.jobs.inbox import Tray
from jobsd.states import results

from . import client, connections
from .drivers import Driver, Rows, driver_of, said_by, sqlstate

if TYPE_CHECKING:
    from jobsd.jobs.current import CurrentJob

STATEMENTS = Statements("jobsd.enqueueing", "completion.sql")

ISOLATED_WITHIN_S = 30.0
"""How long a job waits for its own claim: as long as an outage may last that it can bear."""

_SNAPSHOTS = ("repeatable read", "serializable")
_TOO_OLD = (
    "the snapshot of its transaction is older than the job's own claim: repeat the transaction,"
    " or open `with current_job().completing(connection=...):` before its first statement"
)
_OPEN, _OPENED = (
    Statement("open", "SET LOCAL jobsd_job.completing = 'open'"),
    Statement("opened", "SHOW jobsd_job.completing"),
)
"""They mark the author's transaction, and read that: outside of any nothing is marked. The mark
goes with the transaction. Neither takes a snapshot, as a SELECT would."""
_NOT_SERIALIZABLE = "40001"
_UNKNOWN_NAMES = ("3F", "42")
_UNKNOWN_SETTING = "42704"
_LOST = ("08", "57")


class Isolated(NamedTuple):
    """The claim that a job has for itself, when it began (monotonic), whether its row stays."""

    claim_id: int
    started: float
    keep: bool


@dataclass(slots=True, eq=False)
class Request:
    """The wish of a job's thread for a claim of its own."""

    job_id: int
    claim_id: int
    done: threading.Event = field(default_factory=threading.Event)
    answer: Isolated | None = None


REQUESTS: Tray[Request, Request] = Tray()
"""The wishes that the control thread has not answered yet; each is its own key."""


def isolate(job_id: int, claim_id: int) -> Isolated:
    """Wait for a claim that the job has for itself; called by the job's thread.

    Raises:
        CompletionError: when there is none in time, or the job is not ours any more.
    """
    request = Request(job_id, claim_id)
    REQUESTS.put(request, request)
    if not request.done.wait(ISOLATED_WITHIN_S):
        REQUESTS.drop(request)
    if request.answer is None:
        raise errors.CompletionError(
            job_id, "its worker has lost its claim, or can't reach the database"
        )
    return request.answer


@dataclass(slots=True)
class Begun:
    """A completion that was begun: in which claim, and how far it has come.

    Once `complete` was called, the row of the claim shows how the job has ended. If
    `shielded`, nothing interrupts the job any more; if `opened`, a block of `completing` is
    open.
    """

    claim_id: int
    calls: int = 0
    shielded: bool = False
    opened: bool = False


BEGUN: dict[int, Begun] = {}
"""By the ids of the jobs that run; empty nearly always."""


def is_opened(job_id: int) -> bool:
    """Return whether a block of `completing` is open: then the worker leaves the job's row.

    A transaction whose snapshot is older than a change of that row could not change it.
    """
    begun = BEGUN.get(job_id)
    return begun is not None and begun.opened


def take_called(job_id: int) -> Begun | None:
    """Forget the completion of a job that has ended; return it if `complete` was called."""
    begun = BEGUN.pop(job_id, None)
    return begun if begun is not None and begun.calls else None


def complete(job: CurrentJob, connection: object, result: object) -> None:
    """Record the success of the job that runs, through the connection of its effects.

    Raises:
        CompletionError: when that can't be. Then nothing is recorded, and it may be called
            again, in another transaction.
    """
    if not job.id or not job.claim_id:
        return  # in `perform_now`, and in the test kit, its return is its end
    definition = registry.get(job.class_name)
    ttl_s = definition.result_ttl_s
    text = None if ttl_s is None else results.dump(job.class_name, result)
    driver = _driver(job.id, connection)
    begun = BEGUN.setdefault(job.id, Begun(job.claim_id))
    here = None if begun.shielded else interrupts.find_here()
    if here is not None:
        here.shield()
    try:
        isolated = isolate(job.id, job.claim_id)
        begun.claim_id = isolated.claim_id
        if begun.calls:
            _require_unended(driver, job.id, begun)
        begun.calls += 1
        try:
            _write(driver, job.id, isolated, text, ttl_s, opened=begun.opened)
        except BaseException as error:
            begun.calls -= _is_refused(error)
            raise
    except BaseException:
        _forget_unless_called(job.id, begun)
        if here is not None:
            here.unshield()
        raise
    # Nothing strikes the job any more, until it has returned.
    begun.shielded = begun.shielded or here is not None


@contextmanager
def completing(job: CurrentJob, connection: object, result: object) -> Generator[None]:
    """Complete the job at the end of the block, in the transaction that is open at its start.

    The job gets its claim before that transaction has taken a snapshot, so that the snapshot
    sees it, however the transaction is isolated.

    Raises:
        CompletionError: as `complete`; and when no transaction is open, or another one is open
            at the end of the block.
    """
    if not job.id or not job.claim_id:
        yield
        return
    driver = _driver(job.id, connection)
    begun = BEGUN.setdefault(job.id, Begun(job.claim_id))
    if begun.opened:
        raise errors.CompletionError(job.id, "a block of completing() is open already")
    calls = begun.calls
    # Invariant: this comes first. When the worker answers, it has written all its records of
    # the job.
    begun.opened = True
    try:
        begun.claim_id = isolate(job.id, job.claim_id).claim_id
        _open(driver, job.id)
        yield
        if begun.calls == calls:
            complete(job, connection, result)
    finally:
        begun.opened = False
        _forget_unless_called(job.id, begun)


def _forget_unless_called(job_id: int, begun: Begun) -> None:
    if not (begun.calls or begun.opened):
        BEGUN.pop(job_id, None)


def _driver(job_id: int, connection: object) -> Driver:
    try:
        return driver_of(connection, client.schema_of_tables())
    except errors.EnqueueError as error:
        why = connections.refusal(connection, error.__cause__ or error)
        raise errors.CompletionError(job_id, why) from error.__cause__


def _open(driver: Driver, job_id: int) -> None:
    marked: Rows
    _fetch(driver, job_id, _OPEN, {})
    try:
        marked = _fetch(driver, job_id, _OPENED, {})
    except errors.CompletionError as error:
        if _state(error) != _UNKNOWN_SETTING:
            raise
        marked = ()
    if not marked or marked[0][0] != "open":
        raise errors.CompletionError(
            job_id,
            "the connection commits each statement by itself: open completing() within a"
            " transaction",
        )


def _require_unended(driver: Driver, job_id: int, begun: Begun) -> None:
    parameters = {"claim_id": begun.claim_id, "job_id": job_id}
    if not _fetch(driver, job_id, STATEMENTS["unended"], parameters):
        raise errors.CompletionError(job_id, "complete() was already called")


def _write(  # noqa: PLR0913 - what is written, and whither
    driver: Driver,
    job_id: int,
    isolated: Isolated,
    result: str | None,
    ttl_s: float | None,
    *,
    opened: bool,
) -> None:
    parameters = {
        "claim_id": isolated.claim_id,
        "job_id": job_id,
        "started_s": clock.monotonic() - isolated.started,
        "keep": isolated.keep,
        "result": result,
        "ttl_s": ttl_s,
        "opened": opened,
    }
    ((found, isolation, in_opened, _),) = _fetch(
        driver, job_id, STATEMENTS["complete"], parameters
    )
    if found:
        return
    if opened and not in_opened:
        why = "the transaction in which completing() was opened has ended"
    elif isolation in _SNAPSHOTS:
        why = _TOO_OLD
    else:
        why = (
            "the connection leads to another database than the queue's, or another process has"
            " recovered the job"
        )
    raise errors.CompletionError(job_id, why)


def _fetch(
    driver: Driver, job_id: int, statement: Statement, parameters: dict[str, Any]
) -> Rows:
    try:
        return driver.fetch(statement, parameters)
    except Exception as error:
        why = (said_by(error).splitlines() or [type(error).__name__])[0]
        state = sqlstate(error) or ""
        if state == _NOT_SERIALIZABLE:
            why = _TOO_OLD
        elif state.startswith(_UNKNOWN_NAMES) and state != _UNKNOWN_SETTING:
            why = f"{why}; check that it is the queue's database"
        raise errors.CompletionError(job_id, why) from error


def _state(error: BaseException) -> str | None:
    return None if error.__cause__ is None else sqlstate(error.__cause__)


def _is_refused(error: BaseException) -> bool:
    """Return whether nothing was written; otherwise the answer to a commit may be lost."""
    if not isinstance(error, errors.CompletionError):
        return False
    return error.__cause__ is None or (_state(error) or "08")[:2] not in _LOST
