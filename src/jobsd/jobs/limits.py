"""Concurrency limits: their definition, and the hand-over of free slots to waiting jobs.

A limited job waits in `blocked_executions` from its enqueue on, which takes no lock of its key.
Slots are taken by workers alone, as claims (see `series`): a claim that has a key and a number
is a slot, and goes with its last job. `4_limits.sql` of the migration has the invariants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.arguments import keys, names
from jobsd.clock import parse_duration
from jobsd.database.statements import Statements
from jobsd.errors import Error, LimitError
from jobsd.events.events import emit, is_subscribed

from . import time_limits

if TYPE_CHECKING:
    from jobsd.arguments.signature import Signature
    from jobsd.database.connection import Session

# Not `Callable[..., Any]`: beside it, checkers know no type for a lambda's parameters.
KeyFunction = (
    Callable[[], Any]
    | Callable[[Any], Any]
    | Callable[[Any, Any], Any]
    | Callable[[Any, Any, Any], Any]
    | Callable[[Any, Any, Any, Any], Any]
    | Callable[[Any, Any, Any, Any, Any], Any]
)

Key = KeyFunction | str | int | tuple[str | int, ...] | None

STATEMENTS = Statements("jobsd.jobs", "limits.sql")

TO_MAX = 2**31 - 1
ON_CONFLICT = ("block", "discard")

_KEYS_AT_ONCE = 1000


class Limited(NamedTuple):
    """The limit of one job, as its row holds it; None as the duration means the default."""

    key: str
    to: int
    duration: timedelta | None
    on_conflict: str


# Half of the time that naming the fields takes, as with `claimed_job`.
_limited: Callable[[tuple[Any, ...]], Limited] = partial(
    tuple.__new__,  # pyright: ignore[reportUnknownMemberType] - of any type
    Limited,
)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `to` jobs with the same key run at once.

    Args:
        to: the number of slots.
        key: a function of the job's arguments, names of arguments (`"user_id"`, `("tenant",
            "user_id")`), or a fixed value. Jobs with the same key share a limit. A key that is
            None lifts the limit for that job. By default all jobs of the class (or group) share
            one limit.
        duration: how long a slot may be held without a claim of a process; by default
            `default_concurrency_control_period`. A slot ends with its claim, so a running
            job keeps its slot, and there is no slot that this could end.
        group: a name that several classes share to have one limit; by default the job's
            name.
        on_conflict: "block" lets a job wait for a slot; "discard" drops a job that finds
            none.
    """

    to: int = 1
    key: Key = ""
    duration: float | timedelta | str | None = None
    group: str | None = None
    on_conflict: str = "block"

    def __post_init__(self) -> None:
        # A bool is an int too, but no number that anybody means.
        if type(self.to) is not int or not 1 <= self.to <= TO_MAX:
            raise Error(
                f"limits_concurrency: to={self.to!r} is not a whole number of at least 1"
            )
        if self.on_conflict not in ON_CONFLICT:
            raise Error(
                f"limits_concurrency: on_conflict={self.on_conflict!r}: one of"
                f" {', '.join(ON_CONFLICT)} is wanted"
            )
        if not (self.group is None or (isinstance(self.group, str) and keys.fits(self.group))):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise Error(
                f"limits_concurrency: group={self.group!r:.60} is not a valid key of"
                f" limits_concurrency: {keys.WHAT_FITS}"
            )
        if self.key is not None and not callable(self.key):
            _encoded("limits_concurrency", self.group or "", self.key)
        if self.duration is not None:
            time_limits.bounded_duration_s("limits_concurrency: duration", self.duration)

    @property
    def lasts(self) -> timedelta | None:
        """The duration as a timedelta, or None if none was given."""
        if self.duration is None:
            return None
        return timedelta(seconds=parse_duration(self.duration))

    def on(self, signature: Signature) -> Limit:
        """Return the same with a function in place of names of arguments, for a signature.

        Raises:
            Error: when a name is not an argument of the job.
        """
        return replace(self, key=names.resolved("limits_concurrency", self.key, signature))

    def of(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limited | None:
        """Return the limit of a job of this name with these arguments, or None.

        Raises:
            LimitError: when the function of the key raises, or returns an invalid key.
        """
        try:
            part = self.key(*args, **kwargs) if callable(self.key) else self.key
        except Exception as error:
            raise _raised(name, error) from error
        if part is None:
            return None
        key = _encoded(name, self.group or name, part)
        lasts = None if self.duration is None else self.lasts
        return _limited((key, self.to, lasts, self.on_conflict))


def _encoded(name: str, scope: str, part: object) -> str:
    try:
        return keys.encode(scope, part)
    except keys.UnfitKeyError as error:
        raise LimitError(f"{name}: the key of limits_concurrency: {error}") from error
    except Exception as error:  # of the properties of the author's objects
        raise _raised(name, error) from error


def _raised(name: str, error: Exception) -> LimitError:
    return LimitError(
        f"{name}: the key of limits_concurrency raised {type(error).__name__}: {error}"
    )


def hand_over(session: Session, keys: Collection[str]) -> None:
    """Let the first waiting jobs of these keys be met again, one for each time a key is named.

    Within the transaction that has given their slots back, behind its statement.
    """
    if keys:
        unblocked(session.fetch(STATEMENTS["hand_over"], {"keys": list(keys)}))


def unblocked(rows: Sequence[tuple[Any, ...]]) -> None:
    """Emit the number of unblocked jobs, the last column of a statement's first row."""
    if rows and rows[0][-1] and is_subscribed("debug"):
        emit("jobs.unblocked", size=rows[0][-1])


def uncovered(session: Session) -> Iterator[list[str]]:
    """Look for the keys of which jobs are blocked beside a free slot, and none is ready.

    Yields the keys that each statement has found, and locks nothing. Our code leaves none,
    except for a paused queue whose job is the first of its key.
    """
    after = ""
    while True:
        parameters = {"after": after, "limit": _KEYS_AT_ONCE}
        last, keys = session.fetch(STATEMENTS["uncovered"], parameters)[0]
        if last is None:
            return
        yield keys
        after = last


def forget_keys(session: Session) -> None:
    """Forget the keys that no job has held for a day, of limits whose jobs may not wait."""
    session.fetch(STATEMENTS["forget"], {"limit": _KEYS_AT_ONCE})
