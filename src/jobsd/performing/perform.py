"""Runs one job in the calling thread, and decides its outcome."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from jobsd.arguments import arguments
from jobsd.clock import monotonic
from jobsd.enqueueing.completion import BEGUN, Begun, take_called
from jobsd.errors import CompletionError, ProcessExitError, TimeLimitExceeded
from jobsd.events.events import emit, is_subscribed
from jobsd.jobs import middleware, registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.current import begin, end, running
from jobsd.jobs.interrupts import SEAT, Interruptible
from jobsd.jobs.policy import Discard, Ending, Policy, Verdict, drawn_wait_s, judge
from jobsd.jobs.registry import Definition
from jobsd.jobs.time_limits import DEFAULT, kill_after_s, timeout_s
from jobsd.states import results
from jobsd.states.claims import InClaim
from jobsd.text import error_message, error_stack, error_type, storable

from . import set_aside
from .calls import call
from .interrupter import as_interrupt, in_thread, interrupt_later

MESSAGE_MAX = 10_000
FRAMES_MAX = 100
STACK_MAX = 50_000
"""Maximum characters of a stored stack: enough to understand any error."""

TYPE_MAX = 500

_NO_POLICY = Policy()
_UNTOLD = '{"type": "Exception", "message": "<the error can not be described>", "stack": ""}'


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a job that has run.

    `error` is the stored form of the exception as JSON text; `described` sets it.
    """

    verdict: Verdict
    error: str | None = None
    exception: BaseException | None = None
    result: str | None = None
    """JSON text of the job's return value, if results are kept."""
    ttl_s: float | None = None
    """Retention of the result in seconds; None: the job keeps no result."""
    completes: int | None = None
    """The claim of a job that called `complete()`: this outcome counts if that was rolled back.
    """
    returned: bool = False
    """Whether a job that called `complete()` has returned."""
    drained: bool = False
    """Whether a drain has cancelled the job: it is released, unless its `complete()` was
    committed."""

    @property
    def begun(self) -> bool:
        """Whether any line of the job has run."""
        return self.verdict.outcome not in {"expired", "set_aside"}


SUCCESS = Outcome(Verdict("finished"))


def expired(job: ClaimedJob) -> Outcome:
    """Return the outcome of a job that has expired between its claim and its start."""
    known = registry.find(job.class_name)
    ttl_s = None if known is None else known.result_ttl_s
    return Outcome(Verdict("expired"), exception=Discard("expired"), ttl_s=ttl_s)


class Run(NamedTuple):
    """A job that has ended, with the times of its start and its end (monotonic)."""

    job: ClaimedJob
    outcome: Outcome
    started: float
    ended: float


made_run: Callable[[tuple[ClaimedJob, Outcome, float, float]], Run] = partial(
    tuple.__new__,  # pyright: ignore[reportUnknownMemberType] - of any type
    Run,
)
"""Make a run from its fields, in half the time of the constructor."""

_CASES_MAX = 1000
_outcomes: dict[tuple[int, int, int], tuple[Policy, str]] = {}
"""Outcomes of jobs whose process has to be ended, by policy and attempt."""


def perform(job: ClaimedJob, thread: Interruptible) -> Outcome:
    """Run the job and return its outcome; never raises, whatever the job does."""
    policy = _NO_POLICY
    limit_s = None
    try:
        definition = registry.get(job.class_name)
        policy = definition.policy
        args, kwargs = arguments.load(job.arguments)
        set_aside.check(job, definition, args, kwargs)
        SEAT.set(thread)
        begin(job)
        try:
            if is_subscribed("debug"):
                _emit_started(job)
            limit = definition.time_limit
            limit_s = DEFAULT.timeout_s if limit is None else timeout_s(limit)
            if limit_s is not None:
                thread.begin(limit_s)
                _limit_hard(thread, job, definition, limit_s)
            result = call(thread, job, definition, args, kwargs)
            if thread.grace_s is not None:
                thread.unlimit()
        finally:
            end(job)
    except BaseException as error:  # noqa: BLE001 - sys.exit and the like end the job only
        if thread.grace_s is not None:
            thread.unlimit()
        return _completing(job, _failed(job, error, policy, limit_s), thread)
    if BEGUN and (begun := take_called(job.id)):
        return _uncompleted(job, policy, thread, begun)
    return SUCCESS if definition.result_ttl_s is None else _kept(definition, result)


def _completing(job: ClaimedJob, outcome: Outcome, seat: Interruptible) -> Outcome:
    """Add the claim that shows whether `complete()` was committed."""
    begun = take_called(job.id) if BEGUN else None
    if begun is None:
        return outcome
    seat.shields -= begun.shielded
    return replace(outcome, completes=begun.claim_id)


def _uncompleted(job: ClaimedJob, policy: Policy, seat: Interruptible, begun: Begun) -> Outcome:
    """Return the outcome of a job that returned, in case its `complete()` was rolled back."""
    why = "it has returned, and the transaction of complete() was rolled back"
    outcome = _failed(job, CompletionError(job.id, why), policy, None)
    seat.shields -= begun.shielded
    return replace(outcome, completes=begun.claim_id, returned=True)


def _kept(definition: Definition, result: object) -> Outcome:
    """Return the success with its result; fail the job for good if that can't be kept."""
    ttl_s = definition.result_ttl_s
    try:
        text = results.dump(definition.name, result)
    except BaseException as error:  # noqa: BLE001 - an object of the user's may raise any
        return Outcome(Verdict("failed"), exception=error, ttl_s=ttl_s)
    return Outcome(Verdict("finished"), result=text, ttl_s=ttl_s)


async def perform_coroutine(
    job: ClaimedJob, seat: Interruptible, slot: int, ended: Callable[[int, Outcome], None]
) -> None:
    """Run an asynchronous job as a task of the running loop; never raises.

    Calls `ended` with the slot and the outcome: awaiting a coroutine that returns the outcome
    would cost as much as a small job.
    """
    policy = _NO_POLICY
    limit_s = None
    try:
        definition = registry.get(job.class_name)
        policy = definition.policy
        args, kwargs = arguments.load(job.arguments)
        set_aside.check(job, definition, args, kwargs)
        SEAT.set(seat)
        with running(job):
            if is_subscribed("debug"):
                # A subscriber may run a loop of its own, or block.
                await in_thread(_emit_started, job)
            limit_s = timeout_s(definition.time_limit)
            if limit_s is None:
                seat.job = job
                result = await middleware.begin_asynchronous(definition, args, kwargs)
            else:
                result = await _limited(definition, args, kwargs, job, seat, limit_s)
        seat.job = None
    except BaseException as error:  # noqa: BLE001 - sys.exit and the like end the job only
        seat.job = None
        failure = _failed(job, as_interrupt(error, seat), policy, limit_s)
        outcome = _completing(job, failure, seat)
    else:
        outcome = SUCCESS
        if BEGUN and (begun := take_called(job.id)):
            outcome = _uncompleted(job, policy, seat, begun)
        elif definition.result_ttl_s is not None:
            outcome = _kept(definition, result)
    if seat.grace_s is not None:
        seat.unlimit()
    ended(slot, outcome)


async def perform_in_time(
    job: ClaimedJob, seat: Interruptible, slot: int, ended: Callable[[int, Outcome], None]
) -> None:
    """Perform a job that expires, unless it has expired while the loop was blocked."""
    if job.expires_at is not None and monotonic() >= job.expires_at:
        ended(slot, expired(job))
    else:
        await perform_coroutine(job, seat, slot, ended)


async def _limited(  # noqa: PLR0913, PLR0917 - as above
    definition: Definition,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    job: ClaimedJob,
    seat: Interruptible,
    limit_s: float,
) -> Any:  # noqa: ANN401 - the user's own
    seat.due = monotonic() + limit_s
    _limit_hard(seat, job, definition, limit_s)
    seat.job = job
    timer = interrupt_later(seat, job, limit_s)
    try:
        return await middleware.begin_asynchronous(definition, args, kwargs)
    finally:
        timer.cancel()


def _limit_hard(
    seat: Interruptible, job: ClaimedJob, definition: Definition, limit_s: float
) -> None:
    """Set the hard limit of a job, with the outcome if its process is ended."""
    case = definition, limit_s, job.attempts, job.max_attempts
    if not seat.limit_again(case):
        seat.limit_hard(case, limit_s, *_if_ended(definition, job))


def _if_ended(definition: Definition, job: ClaimedJob) -> tuple[float, tuple[str, float]]:
    """Return the time that a job has after its limit, and its outcome if its process is ended.

    The wait is drawn for each thread: otherwise the jobs of an ended process would all be
    retried at the same moment.
    """
    policy, attempt = definition.policy, job.attempts + 1
    case = id(policy), attempt, job.max_attempts
    kept = _outcomes.get(case)
    if kept is None or kept[0] is not policy:
        # Cached: `judge` takes as long as performing a small job.
        judged = judge(policy, TimeLimitExceeded(), attempt, job.max_attempts)
        if len(_outcomes) >= _CASES_MAX:
            _outcomes.clear()
        kept = _outcomes[case] = policy, judged.outcome
    outcome = kept[1]
    wait_s = drawn_wait_s(policy, attempt) if outcome == "retried" else 0.0
    return kill_after_s(definition.time_limit), (outcome, wait_s)


def limit_blocking(seat: Interruptible, job: ClaimedJob, stood_s: float) -> None:
    """Have the process of a job that blocks its loop ended, and set the job's outcome."""
    definition = registry.get(job.class_name)
    why = ProcessExitError(f"the job blocked the event loop for {stood_s:.0f} s")
    verdict = judge(definition.policy, why, job.attempts + 1, job.max_attempts)
    grace_s = kill_after_s(definition.time_limit)
    begun = BEGUN.get(job.id)
    where = InClaim(job.id, job.claim_id if begun is None else begun.claim_id)
    seat.limit_now(where, stood_s, grace_s, (verdict.outcome, verdict.wait_s))


def _failed(
    job: ClaimedJob, error: BaseException, policy: Policy, limit_s: float | None
) -> Outcome:
    if isinstance(error, set_aside.MisfitError):
        return Outcome(Verdict("set_aside", set_aside.WAIT_S), exception=error)
    if isinstance(error, TimeLimitExceeded) and error.limit_s is None:
        error.say_limit(limit_s)
    failure = _failure(error, policy, job.attempts + 1, job.max_attempts)
    known = registry.find(job.class_name)
    return failure if known is None else replace(failure, ttl_s=known.result_ttl_s)


def _emit_started(job: ClaimedJob) -> None:
    emit(
        "job.started",
        job_id=job.id,
        class_name=job.class_name,
        queue_name=job.queue_name,
        attempt=job.attempt,
    )


def _failure(error: BaseException, policy: Policy, attempt: int, attempts_max: int) -> Outcome:
    try:
        verdict = judge(policy, error, attempt, attempts_max)
    except BaseException as broken:  # noqa: BLE001 - the user's backoff may raise anything
        broken.__context__ = error
        return Outcome(Verdict("failed"), exception=broken)
    return Outcome(verdict, exception=error)


def described(outcome: Outcome) -> Outcome:
    """Return the outcome with its exception in stored form; never raises."""
    if outcome.exception is None or outcome.verdict.outcome in {"snoozed", "set_aside"}:
        return outcome
    return replace(outcome, error=stored_error(outcome.exception))


def stored_error(error: BaseException) -> str:
    """Return an error as the JSON text that is stored: type, message, stack; never raises."""
    try:
        return _described(error)
    except BaseException:  # noqa: BLE001 - no memory is left, or a class that is made to vex
        return _UNTOLD


def _described(error: BaseException) -> str:
    return json.dumps(
        {
            "type": _type(error),
            "message": _clean(error_message(error), MESSAGE_MAX),
            "stack": _clean(error_stack(error, FRAMES_MAX), STACK_MAX),
        },
    )


def _type(error: BaseException | None) -> str:
    """Return how the type of an error is stored; never raises."""
    try:
        return _clean(error_type(error), TYPE_MAX)
    except BaseException:  # noqa: BLE001 - a class that is made to vex
        return "Exception"


def _clean(text: str, length_max: int) -> str:
    """Return text that PostgreSQL can store: no NUL, no half of a surrogate pair."""
    if len(text) > length_max:
        half = length_max // 2
        text = (
            f"{text[:half]}\n… {len(text) - length_max} characters left out …\n{text[-half:]}"
        )
    return storable(text)


def remembered_id(job: ClaimedJob, outcome: Outcome) -> int:
    """Return the id that a scoreboard entry records for a successful job.

    It is 0 for a job that keeps its result: only the end of some job is recorded, so that this
    job does not seem to run. Its result is in this process alone, so if the process dies, the
    job is released and runs again.
    """
    return job.id if outcome.ttl_s is None else 0


def ending(job: ClaimedJob, outcome: Outcome) -> Ending:
    """Return the record of an unsuccessful job for its scoreboard entry."""
    verdict, kind = outcome.verdict, _type(outcome.exception)
    return Ending(job.id, job.claim_id, verdict.outcome, verdict.wait_s, kind)
