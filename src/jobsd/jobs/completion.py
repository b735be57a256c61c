"""The end of a job in the transaction of its own effects: both are committed, or neither is.

The job's thread asks the control thread for a claim of its own, since a claim is of many jobs
and the author's transaction may stay open for long: no turn of the worker may wait for it. Then
the thread deletes that claim, and records the success, through the author's connection. What
became of that transaction, the control thread finds out once the job has returned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from jobsd import clock, errors, late
from jobsd.database.statements import Statements

from . import client, connections, interrupts, registry, results
from .drivers import Driver, PsycopgDriver, driver_of

if TYPE_CHECKING:
    from .current import CurrentJob

STATEMENTS = Statements("jobsd.jobs", "completion.sql")

ISOLATED_WITHIN_S = 30.0
"""How long a job waits for its own claim: as long as an outage may last that it can bear."""


class Isolated(NamedTuple):
    """The claim that a job has for itself, when it began (monotonic), whether its row stays."""

    claim_id: int
    started: float
    keep: bool


@late.dataclass(slots=True, eq=False)
class Request:
    """The wish of a job's thread for a claim of its own."""

    job_id: int
    claim_id: int
    done: threading.Event = field(default_factory=threading.Event)
    answer: Isolated | None = None


class Requests:
    """The wishes that the control thread has not answered yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Request] = []
        self._wake: Callable[[], None] | None = None

    def __bool__(self) -> bool:
        return bool(self._open)

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Say how the thread that answers is woken."""
        self._wake = wake

    def take(self) -> list[Request]:
        """Return what is asked for now."""
        with self._lock:
            taken, self._open = self._open, []
        return taken

    def drop(self, request: Request) -> None:
        """Forget a wish that is answered, or that nobody waits for any more."""
        with self._lock:
            self._open = [each for each in self._open if each is not request]

    def put_back(self, request: Request) -> None:
        """Leave a wish for later."""
        with self._lock:
            self._open.append(request)

    def isolate(self, job_id: int, claim_id: int) -> Isolated:
        """Wait for the claim of its own; called by the job's thread.

        Raises:
            CompletionError: when there is none in time, or the job is not ours any more.
        """
        request = Request(job_id, claim_id)
        self.put_back(request)
        if self._wake is not None:
            self._wake()
        if not request.done.wait(ISOLATED_WITHIN_S):
            self.drop(request)
        if request.answer is None:
            raise errors.CompletionError(
                job_id, "its worker has lost its claim, or can't reach the database"
            )
        return request.answer


REQUESTS = Requests()


@late.dataclass(slots=True)
class Begun:
    """A completion that was begun: by which claim, and whether the job is shielded since."""

    claim_id: int
    shielded: bool = False


BEGUN: dict[int, Begun] = {}
"""By the ids of the jobs that run; empty nearly always."""


def complete(job: CurrentJob, connection: object, result: object) -> None:
    """Record the success of the job that runs, through the connection of its effects.

    Raises:
        CompletionError: when that can't be.
    """
    if not job.id or not job.claim_id:
        return  # in `perform_now`, and in the test kit, its return is its end
    if job.id in BEGUN:
        raise errors.CompletionError(job.id, "complete() was already called")
    definition = registry.get(job.class_name)
    ttl_s = definition.result_ttl_s
    text = None if ttl_s is None else results.dump(job.class_name, result)
    driver = driver_of(connection, client.schema_of_tables())
    if isinstance(driver, PsycopgDriver):
        connections.begin(driver.connection)
    here = interrupts.find_here()
    if here is not None:
        here.shield()
    try:
        isolated = REQUESTS.isolate(job.id, job.claim_id)
        BEGUN[job.id] = begun = Begun(isolated.claim_id)
        _write(driver, job.id, isolated, text, ttl_s)
    except BaseException:
        if here is not None:
            here.unshield()
        raise
    # Nothing strikes the job any more, until it has returned.
    begun.shielded = here is not None


def _write(
    driver: Driver, job_id: int, isolated: Isolated, result: str | None, ttl_s: float | None
) -> None:
    parameters = {
        "claim_id": isolated.claim_id,
        "job_id": job_id,
        "started_s": clock.monotonic() - isolated.started,
        "keep": isolated.keep,
        "result": result,
        "ttl_s": ttl_s,
    }
    try:
        ((found, _),) = driver.fetch(STATEMENTS["complete"], parameters)
    except Exception as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise errors.CompletionError(
            job_id, f"{message}; check that it is the queue's database"
        ) from error
    if not found:
        raise errors.CompletionError(
            job_id,
            "the connection leads to another database than the queue's, or another process has"
            " recovered the job",
        )
