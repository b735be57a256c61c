"""The options of a job, one row each: `@job`, classes and `using` read them.

A row says how a value is read and checked, its default, its column, and one sentence. The
column is that of the table `definitions`, from which the SQL function `enqueue` takes the
defaults; `field` is where a draft holds it. What `using` takes has such a field. The types lie
beside the rows, for checkers: `JobOptions` and `UsingOptions`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, TypedDict, TypeVar, cast

from jobsd.clock import utc_now
from jobsd.errors import Error
from jobsd.text import byte_size, is_seen

from . import job_schedule, time_limits
from .limits import Limit
from .policy import FAILURES, Backoff, check_backoff
from .registry import Definition, check_class, check_priority, check_queue
from .unique import Unique

Kinds = type[BaseException] | tuple[type[BaseException], ...]
F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_QUEUE = "default"
TAGS_MAX, TAG_BYTES_MAX = 20, 100


class JobOptions(TypedDict, total=False):
    """What `@job` takes, and a class has as its attributes."""

    queue: str
    priority: int
    max_attempts: int
    retry_on: Kinds
    discard_on: Kinds
    backoff: Backoff | None
    limits_concurrency: Limit | None
    timeout: timedelta | float | str | None
    kill_after: timedelta | float | str | None
    result_ttl: timedelta | float | str | None
    unique: Unique | None
    expires_in: timedelta | float | str | None
    tags: Sequence[str]
    schedule: str | None
    schedule_args: object
    schedule_key: str | None
    name: str | None


class UsingOptions(TypedDict, total=False):
    """What `using` takes for one enqueue, beside a connection; None leaves the job's own."""

    queue: str | None
    priority: int | None
    wait: timedelta | float | str | None
    wait_until: datetime | None
    unique_key: object
    expires_in: timedelta | float | str | None
    tags: Sequence[str] | None


class Option(NamedTuple):
    """One row of the table.

    `of` returns a definition's value as workers publish it, for enqueues from SQL. A limit and
    `unique` consist of more than one value: see `published`.
    """

    read: Callable[[Any], Any]
    default: Any
    sentence: str
    column: str | None = None
    field: str | None = None
    of: Callable[[Definition], Any] | None = None


def _interval(seconds: float | None) -> str | None:
    # In hours: each version of the server reads a hundred years so.
    if seconds is None:
        return None
    hours, rest_s = divmod(seconds, 3600)
    return f"{hours:.0f} hours {rest_s:.6f} s"


def _timeout_of(definition: Definition) -> str | None:
    return _interval(time_limits.timeout_s(definition.time_limit))


def _kill_after_of(definition: Definition) -> str | None:
    return _interval(time_limits.kill_after_s(definition.time_limit))


def _result_ttl_of(definition: Definition) -> str | None:
    return _interval(definition.result_ttl_s)


def _expires_in_of(definition: Definition) -> str | None:
    return _interval(definition.expires_in_s)


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda given: None if given is None else read(given)


def _as_given(given: object) -> object:
    return given


def _max_attempts(given: object) -> int:
    # A bool is an int too, but no number that a user means.
    if type(given) is int and 1 <= given < 2**31:
        return given
    raise Error(f"max_attempts: {given!r} is not a whole number of at least 1")


def _kinds(given: Kinds) -> tuple[type[BaseException], ...]:
    return tuple(given) if isinstance(given, (tuple, list, set, frozenset)) else (given,)


def _is(kind: type[Any], wrong: str, given: object) -> Any:  # noqa: ANN401 - of this kind
    if given is None or isinstance(given, kind):
        return given
    raise Error(wrong.format(given))


def _tags(given: object) -> list[str] | None:
    """Return each tag once, in the given order; None for no tags."""
    if isinstance(given, (tuple, list, set, frozenset)):
        tags = list(dict.fromkeys(cast("Iterable[Any]", given)))
        if len(tags) <= TAGS_MAX and all(map(_is_tag, tags)):
            return tags or None
    raise Error(
        f"tags: {given!r:.60} is not a tuple of at most {TAGS_MAX} tags,"
        f" each of 1 to {TAG_BYTES_MAX} bytes of printable text"
    )


def _is_tag(given: object) -> bool:
    if not isinstance(given, str) or not is_seen(given):
        return False
    return 1 <= byte_size(given) <= TAG_BYTES_MAX


def _wait_s(wait: timedelta | float | str) -> float:
    # A wait that lies in the past is over.
    past = isinstance(wait, timedelta) and wait < timedelta(0)
    return 0.0 if past else time_limits.bounded_duration_s("wait", wait)


def _wait_until(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        raise Error(f"wait_until: {moment!r} is not a datetime")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise Error(f"wait_until: {moment} has no time zone; give an aware datetime")
    if (moment - utc_now()).total_seconds() > time_limits.WAIT_MAX_S:
        raise Error(f"wait_until: {moment} is more than a hundred years away")
    return moment


OPTIONS: Mapping[str, Option] = {
    "queue": Option(
        check_queue,
        DEFAULT_QUEUE,
        "the name of its queue.",
        column="queue_name",
        field="queue_name",
        of=attrgetter("queue"),
    ),
    "priority": Option(
        check_priority,
        0,
        "smaller numbers run first.",
        column="priority",
        field="priority",
        of=attrgetter("priority"),
    ),
    "max_attempts": Option(
        _max_attempts,
        1,
        "the number of attempts in all, crashes of its process included.",
        column="max_attempts",
        of=attrgetter("policy.max_attempts"),
    ),
    "retry_on": Option(
        _kinds, FAILURES, "the exceptions that lead to another attempt, if one is left."
    ),
    "discard_on": Option(_kinds, (), "the exceptions that discard the job."),
    "backoff": Option(
        check_backoff,
        None,
        "a function of the attempt's number that returns seconds; see `exponential`.",
    ),
    "limits_concurrency": Option(
        partial(
            _is, Limit, "limits_concurrency: {!r} is not a limit; write Limit(to=1, key=…)"
        ),
        None,
        "how many may run at the same time; see `Limit`.",
        column="concurrency",
    ),
    "timeout": Option(
        _optional(partial(time_limits.read_bound, "timeout")),
        None,
        "after how long it is interrupted; by default `jobs.timeout`.",
        column="timeout",
        of=_timeout_of,
    ),
    "kill_after": Option(
        _optional(partial(time_limits.read_bound, "kill_after")),
        None,
        "how much later its process is ended; by default `jobs.kill_after`.",
        column="kill_after",
        of=_kill_after_of,
    ),
    "result_ttl": Option(
        time_limits.read_result_ttl,
        None,
        "how long its result is kept, for `EnqueuedJob.result`.",
        column="result_ttl",
        of=_result_ttl_of,
    ),
    "unique": Option(
        partial(_is, Unique, "unique: {!r:.60} is not a Unique; write Unique(key=…)"),
        None,
        "when a second enqueue is a duplicate; see `Unique`.",
        column="uniqueness",
    ),
    "expires_in": Option(
        time_limits.read_expiry,
        None,
        "how long after it is due it may start; later it is discarded.",
        column="expires_in",
        field="expires_in_s",
        of=_expires_in_of,
    ),
    "tags": Option(
        _tags,
        (),
        'words by which its jobs are found, such as `("billing", "eu")`.',
        column="tags",
        field="tags",
        of=attrgetter("tags"),
    ),
    "schedule": Option(
        job_schedule.read_phrase,
        None,
        "when it also runs by itself, as a recurring task of its own.",
    ),
    "schedule_args": Option(
        _as_given, None, "the arguments of these runs: one value, a list or a dict."
    ),
    "schedule_key": Option(
        job_schedule.read_key, None, "the key of that task; by default the job's name."
    ),
    "name": Option(
        _optional(check_class), None, 'its registered name; by default "module.function".'
    ),
}

# What `using` takes; `unique_key` is read by the `unique` of the job.
USING: Mapping[str, Option] = {
    **{name: row for name, row in OPTIONS.items() if row.field is not None},
    "wait": Option(_wait_s, None, "how long it waits.", field="wait_s"),
    "wait_until": Option(_wait_until, None, "when it is due.", field="wait_until"),
}


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a job, read and checked: given ones, or the defaults.

    Raises:
        Error: saying which option is invalid.
    """
    return {name: row.read(given.get(name, row.default)) for name, row in OPTIONS.items()}


def read_time_limit(timeout: object, kill_after: object = None) -> time_limits.TimeLimit | None:
    """Return the time limit of a job, None if it has none.

    Raises:
        Error: for an invalid time.
    """
    bounds = OPTIONS["timeout"].read(timeout), OPTIONS["kill_after"].read(kill_after)
    return None if bounds == (None, None) else time_limits.TimeLimit(*bounds)


def require_names(function: str, given: Iterable[str], known: type[Any]) -> None:
    """Raise for a keyword that a function does not take, as Python does.

    Raises:
        TypeError: naming it.
    """
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def spelled_out(known: type[Any]) -> Callable[[F], F]:
    """Let the signature of a function name the keywords that stand in `**options`."""

    def spell(function: F) -> F:
        plain = inspect.signature(function)
        own = [each for each in plain.parameters.values() if each.kind is not each.VAR_KEYWORD]
        mine = [each for each in own if each.kind is each.KEYWORD_ONLY]
        others = [each for each in own if each.kind is not each.KEYWORD_ONLY]
        rows: Mapping[str, Option] = OPTIONS if known is JobOptions else {}
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=rows[name].default if name in rows else None,
                annotation=kind.__forward_arg__,
            )
            for name, kind in known.__annotations__.items()
        ]
        spelled = plain.replace(parameters=[*others, *options, *mine])
        function.__signature__ = spelled  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]
        return function

    return spell


def sentences() -> str:
    """Return what each option is, for a docstring."""
    return "".join(f"        {name}: {row.sentence}\n" for name, row in OPTIONS.items())
