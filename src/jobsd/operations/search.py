"""The search language: `class:app.mail.* state:failed after:2h args.user_id:5 timeout`.

`after:` and `before:` select by the time of the enqueue, `started:`, `finished:` and `failed:`
by that of the last start and of the end; they take a time or a range (`times`). `ran:>10s` and
`waited:>1m` select by a length of time, among the jobs of the last 24 hours unless a period is
given.

A word with a known name before a colon is a filter; any other word is sought in class, queue
and error. A value with spaces is put into double quotes. A job must have each tag that is
sought; any other filter can be given once. An invalid filter is reported, and not applied.
"""

import contextlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from jobsd import errors
from jobsd.acts.inspect import without
from jobsd.acts.listing import PERIODS, Filter
from jobsd.acts.periods import ALWAYS, Period
from jobsd.text import is_storable

from .times import read_length, read_period

R = TypeVar("R")


NAMES = (
    "class",
    "queue",
    "state",
    "error",
    "key",
    "host",
    "tag",
    "after",
    "before",
    "started",
    "finished",
    "failed",
    "ran",
    "waited",
    "args.NAME",
)
SEEN_MAX = 100_000
"""The number of the newest jobs that are searched; the caller reports that older ones exist."""
_WORDS_MAX = 20
_LAST_DAY = Period(timedelta(days=1))
"""Where `ran:` and `waited:` are sought unless the search has a period."""
_PART = re.compile(
    r'(?:(?P<name>[a-z]+(?:\.[^\s:"]+)?):)?(?:"(?P<quoted>[^"]*)"?|(?P<bare>\S+))'
)


@dataclass(frozen=True, slots=True)
class Search:
    """The filters and words of a search, and the problems in its text."""

    meant: Filter
    problems: tuple[str, ...] = ()


def read_search(text: str, hidden: Collection[str] = ()) -> Search:
    """Parse a search; arguments with `hidden` names can't be sought."""
    found: dict[str, Any] = {}
    words: list[str] = []
    problems: list[str] = []
    for number, part in enumerate(_PART.finditer(text)):
        value = part["bare"] if part["quoted"] is None else part["quoted"]
        if number >= _WORDS_MAX:
            problems.append(f"a search has at most {_WORDS_MAX} parts")
            break
        try:
            if part["name"] is None:
                words.append(value)
            else:
                _add(found, part["name"], _narrowed(part["name"], value, hidden))
        except (errors.Error, ValueError) as fault:
            problems.append(str(fault))
    if "error" in found or "failed" in found:
        found.setdefault("state", "failed")
    return _checked(found, words, problems)


def _add(found: dict[str, Any], name: str, narrowed: dict[str, Any]) -> None:
    if "tags" in narrowed:
        found["tags"] = (*found.get("tags", ()), *narrowed["tags"])
        return
    if found.keys() & narrowed.keys():
        # With the last one alone, an act would change more jobs than both filters select.
        name = "args." if name.startswith("args.") else f"{name}:"
        raise errors.Error(f"{name} is given twice; only tag: can be")
    found |= narrowed


def _checked(found: dict[str, Any], words: list[str], problems: list[str]) -> Search:
    after, before = found.pop("after", ALWAYS), found.pop("before", ALWAYS)
    try:
        enqueued = _both(after, before)
        meant = Filter(**found, enqueued=enqueued, words=tuple(words))
        return Search(_within_a_day(meant), tuple(problems))
    except errors.Error as fault:
        return Search(Filter(), (*problems, str(fault)))


def _narrowed(name: str, value: str, hidden: Collection[str]) -> dict[str, Any]:
    match name:
        case "class":
            return {"class_name": value}
        case "queue" | "state" | "error" | "key" | "host":
            return {{"queue": "queue_name"}.get(name, name): value}
        case "tag":
            return {"tags": (value,)}
        case "after" | "before" | "started" | "finished" | "failed":
            return {name: _named(name, read_period, value, until=name == "before")}
        case "ran" | "waited":
            return {name: _named(name, read_length, value)}
        case _ if name.startswith("args."):
            argument = name.removeprefix("args.")
            return {"argument": argument, "values": _values(argument, value, hidden)}
        case _:
            known = " ".join(f"{each}:" for each in NAMES)
            raise errors.Error(f"{name}: can't be searched; use one of {known}")


def _within_a_day(meant: Filter) -> Filter:
    """Return the filter, with the last day if it has a length of time but no period."""
    given = meant.given()
    if given.keys() & {"ran", "waited"} and not given.keys() & {*PERIODS}:
        return replace(meant, enqueued=_LAST_DAY)
    return meant


def _both(after: Period, before: Period) -> Period:
    """Return the period of both filters.

    Raises:
        Error: if both give the same side of it.
    """
    if any(None not in side for side in zip(after, before, strict=True)):
        raise errors.Error("after: and before: are both given, one of them with a range")
    since, until = (
        one if other is None else other for one, other in zip(after, before, strict=True)
    )
    return Period(since, until)


def _named(name: str, read: Callable[..., R], value: str, **given: bool) -> R:
    try:
        return read(value, **given)
    except errors.Error as fault:
        raise errors.Error(f"{name}: {fault}") from None


def _values(name: str, value: str, hidden: Collection[str]) -> tuple[str, ...]:
    """Return the JSON texts that the argument may be: the value as a text, and as JSON."""
    # `*rest` is how a published signature names what takes all further arguments.
    if name.lstrip("*") in hidden:
        raise errors.Error(
            f"args.{name}: is never shown (jobs.filter_arguments), so it can't be searched"
        )
    found = [_stored(name, value, hidden)]
    # Not a number of JSON: `NaN`, or one that is too large.
    with contextlib.suppress(ValueError, RecursionError):
        found.append(_stored(name, json.loads(value), hidden))
    return tuple(found)


def _stored(name: str, value: Any, hidden: Collection[str]) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    # A list is found by any of its parts: so the pairs of `$dict` by the value of a hidden key.
    has_pairs = bool(hidden) and "$dict" in f"{name}{text}"
    if has_pairs or without(value, frozenset(hidden)) != value:
        raise errors.Error(f"args.{name}: {value!r} has parts that are never shown")
    # A NUL is escaped; an escaped backslash before it is a backslash of the text.
    if not is_storable(f"{name}{text}") or r"\u0000" in text.replace(r"\\", ""):
        raise ValueError(f"args.{name}: {value!r} can't be in a job: PostgreSQL can't store it")
    return text
