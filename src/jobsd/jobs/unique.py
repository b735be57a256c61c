"""Unique jobs: their definition, and which job has a key.

A key is a row of `unique_jobs`, which an enqueue takes. When the next job with this key is
enqueued, the tables show whether the job that has the key still counts: `5_unique.sql` of the
migration describes how. Workers know nothing of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.arguments import arguments, keys
from jobsd.arguments.names import by_name, resolved
from jobsd.database.statements import Statements
from jobsd.errors import Error, UniqueError

from .time_limits import bounded_duration_s

if TYPE_CHECKING:
    from jobsd.arguments.signature import Signature
    from jobsd.database.connection import Session

    from .limits import Key

STATEMENTS = Statements("jobsd.jobs", "unique.sql")

UNTIL = ("started", "finished")
ON_CONFLICT = ("skip", "raise", "replace")
_KEYS_AT_ONCE = 1000


class Uniqueness(NamedTuple):
    """What makes one job unique, as the statements take it."""

    unique_key: str
    unique_until: str | None
    unique_within_s: float | None
    unique_conflict: str
    unique_max_wait_s: float | None


@dataclass(frozen=True, slots=True)
class Unique:
    """Allows one job with the same key at a time.

    Args:
        key: a function of the job's arguments, names of arguments (`"order_id"`, `("tenant",
            "order_id")`), or a fixed value. By default all arguments count. If the key is
            None, the job may be enqueued beside any other.
        until: until when a job counts. "started": until it is first claimed; it does not count
            again when it is released or retried. "finished": until it has finished, failed or
            been discarded. None: for the time that `within` says.
        within: with `until=None`, for how long from its enqueue a job counts, whatever becomes
            of it.
        on_conflict: "skip" returns the existing job, with the state "duplicate"; "raise"
            raises `DuplicateError`; "replace", only with `until="started"`, gives the job that
            waits the new arguments, keys, time and priority.
        group: a name that several classes share to have one key space; by default the job's
            name.
        max_wait: with "replace", how long after its first enqueue a job is due at the latest.
    """

    key: Key = None
    until: str | None = "finished"
    within: float | timedelta | str | None = None
    on_conflict: str = "skip"
    group: str | None = None
    max_wait: float | timedelta | str | None = None

    def __post_init__(self) -> None:
        for wrong in filter(None, self._faults()):
            raise Error(f"unique: {wrong}")
        if self.key is not None and not callable(self.key):
            _encoded("unique", self.group or "", self.key)

    def _faults(self) -> Iterator[str | None]:
        for name, given in (("within", self.within), ("max_wait", self.max_wait)):
            if given is not None:
                bounded_duration_s(f"unique: {name}", given)
        if self.until is not None and self.until not in UNTIL:
            yield f"until={self.until!r:.60}: one of {', '.join(UNTIL)}, or None with within"
        if (self.until is None) != (self.within is not None):
            yield "within needs until=None, and until=None needs within"
        if self.within is not None and not bounded_duration_s("unique: within", self.within):
            yield "within=0 is too short: leave unique out"
        if self.on_conflict not in ON_CONFLICT:
            yield f"on_conflict={self.on_conflict!r:.60}: one of {', '.join(ON_CONFLICT)}"
        if self.on_conflict == "replace" and self.until != "started":
            yield "on_conflict='replace' needs until='started': a running job can't be replaced"
        if self.max_wait is not None and self.on_conflict != "replace":
            yield "max_wait needs on_conflict='replace'"
        if not (self.group is None or (isinstance(self.group, str) and keys.fits(self.group))):  # pyright: ignore[reportUnnecessaryIsInstance]
            yield f"group={self.group!r:.60} is not a valid key of unique: {keys.WHAT_FITS}"

    def on(self, signature: Signature) -> Unique:
        """Return the same with a function in place of names of arguments, for a signature.

        Raises:
            Error: when a name is not an argument of the job.
        """
        return replace(self, key=resolved("unique", self.key, signature))

    def of(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        takes: Signature | None = None,
    ) -> Uniqueness | None:
        """Return what makes a job of this name with these arguments unique, or None.

        Raises:
            UniqueError: when the function of the key raises, or returns an invalid key.
        """
        if self.key is None:
            written = arguments.written(*by_name(takes, args, kwargs))
            return self._keyed(_digest(name, self.group or name, written))
        try:
            part = self.key(*args, **kwargs) if callable(self.key) else self.key
        except Exception as error:
            raise _raised(name, error) from error
        return None if part is None else self.keyed(name, part)

    def keyed(self, name: str, part: object) -> Uniqueness:
        """Return what makes a job of this name with this key unique.

        Raises:
            UniqueError: when it is not a valid key.
        """
        return self._keyed(_encoded(name, self.group or name, part))

    def _keyed(self, key: str) -> Uniqueness:
        return Uniqueness(
            key,
            self.until,
            _seconds("within", self.within),
            self.on_conflict,
            _seconds("max_wait", self.max_wait),
        )


def _seconds(option: str, given: float | timedelta | str | None) -> float | None:
    return None if given is None else bounded_duration_s(f"unique: {option}", given)


def _digest(name: str, scope: str, written: Any) -> str:  # noqa: ANN401 - JSON
    try:
        return keys.digest(scope, written)
    except keys.UnfitKeyError as error:
        raise UniqueError(f"{name}: the key of unique: {error}") from error


def _encoded(name: str, scope: str, part: object) -> str:
    try:
        return keys.encode(scope, part)
    except keys.UnfitKeyError as error:
        raise UniqueError(f"{name}: the key of unique: {error}") from error
    except Exception as error:  # of the properties of the author's objects
        raise _raised(name, error) from error


def _raised(name: str, error: Exception) -> UniqueError:
    return UniqueError(f"{name}: the key of unique raised {type(error).__name__}: {error}")


def forget(session: Session) -> Iterator[int]:
    """Forget the keys whose jobs no longer count; yield their number for each statement."""
    after = ""
    while True:
        parameters = {"after": after, "limit": _KEYS_AT_ONCE}
        last, gone = session.fetch(STATEMENTS["forget"], parameters)[0]
        if last is None:
            return
        yield gone
        after = last
