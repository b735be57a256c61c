"""The definitions of jobs that workers publish, for enqueues from SQL and for dashboards.

`jobsd.enqueue` takes from it the options that the call does not give. Keys that are made of
arguments, by their names or of all of them, it computes as Python does; keys of functions it
can't compute.
"""

import contextlib
import inspect
import json
from collections.abc import Iterable
from typing import Any

from jobsd.arguments import arguments, keys, names, signature
from jobsd.database.connection import Session, Statements
from jobsd.errors import ArgumentError, ProcessExitError

from .job_options import OPTIONS
from .registry import Definition

STATEMENTS = Statements("jobsd.jobs", "published.sql")

_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_FUNCTION: dict[str, Any] = {"function": True}


def publish(session: Session, definitions: Iterable[Definition]) -> None:
    """Publish the definitions of these jobs; those of other jobs stay."""
    given = {"definitions": json.dumps([published_row(each) for each in definitions])}
    session.fetch_together([(STATEMENTS["withdraw"], given), (STATEMENTS["publish"], given)])


def positional(session: Session) -> dict[str, list[str]]:
    """Return the names of the positional arguments of all published classes.

    The name of what takes all further ones has a star before it.
    """
    return dict(session.fetch(STATEMENTS["positional"], {}))


def published_row(definition: Definition) -> dict[str, Any]:
    """Return the columns of `definitions` that this definition publishes, by their names."""
    limit, unique = definition.limit, definition.unique
    record: dict[str, Any] = {
        "class_name": definition.name,
        "retries_crash": definition.policy.retries(ProcessExitError),
        "positional": None if definition.takes is None else definition.takes.positional,
        **{row.column: row.of(definition) for row in OPTIONS.values() if row.column and row.of},
    }
    if limit is not None and limit.key is not None:
        spec = _key(limit.key, limit.group, definition)
        lasts = None if limit.lasts is None else f"{limit.lasts.total_seconds()} s"
        more = {"to": limit.to, "duration": lasts, "on_conflict": limit.on_conflict}
        record["concurrency"] = spec | more
    if unique is not None:
        make = _all if unique.key is None else _key
        record["uniqueness"] = make(unique.key, unique.group, definition) | _times(definition)
    return record


def _times(definition: Definition) -> dict[str, Any]:
    assert definition.unique is not None  # noqa: S101 - asked by who calls
    made = definition.unique.keyed(definition.name, "")
    return {
        "until": made.unique_until,
        "within": _seconds(made.unique_within_s),
        "on_conflict": made.unique_conflict,
        "max_wait": _seconds(made.unique_max_wait_s),
    }


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds} s"


def _key(key: Any, group: str | None, definition: Definition) -> dict[str, Any]:  # noqa: ANN401
    """Return the parts of a key, as far as the database can make it."""
    scope = group or definition.name
    if isinstance(key, names.NamedArguments):
        named = {"names": list(key.names), "single": key.single}
        return {**_parameters(definition.takes), "scope": keys.encode(scope, ""), **named}
    return _FUNCTION if callable(key) else {"fixed": keys.encode(scope, key)}


def _all(_: object, group: str | None, definition: Definition) -> dict[str, Any]:
    takes = definition.takes
    if takes is None or any(each.kind in _MANY for each in takes.parameters):
        return _FUNCTION
    return {**_parameters(takes), "scope": keys.encode(group or definition.name, "")}


def _parameters(takes: signature.Signature | None) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for each in takes.parameters if takes is not None else ():
        if each.kind in _MANY:
            continue  # No key is made of these; what stands behind them has no place.
        facts: dict[str, Any] = {"name": each.name}
        if each.kind is each.KEYWORD_ONLY:
            facts["keyword"] = True
        if each.default is not each.empty:
            with contextlib.suppress(ArgumentError):
                (facts["default"],) = arguments.written([each.default], {})
        found.append(facts)
    return {"parameters": found}
