"""Context variables that travel with a job from the enqueue to every attempt."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextvars import ContextVar, copy_context
from typing import Any

from jobsd.arguments import arguments
from jobsd.errors import Error

from . import current
from .middleware import around_enqueue, around_job

_VARIABLES = "variables"
_STRUCTLOG = "structlog"
_OF_JOB = frozenset({"job_id", "class_name", "queue_name", "attempt"})
"""The job's fields that each of its log lines has anyway."""
_TEXT_MAX = 500
"""Characters of a value of structlog's context: ids and names, not documents."""

_carried: dict[str, ContextVar[Any]] = {}
_with_structlog: list[bool] = []


def carry(*variables: ContextVar[Any], structlog: bool = False) -> None:
    """Pass the values of these context variables from the enqueue to the job.

    Call it in the module that defines them, which both the program and the workers import. A
    value may be whatever an argument of a job may be. With `structlog` what
    `structlog.contextvars.bind_contextvars` has bound is bound in the job, too: numbers and
    texts as they are, others as text.

    Raises:
        Error: if a value is not a ContextVar, or its name is taken.
    """
    for variable in variables:
        if not isinstance(variable, ContextVar):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise Error(f"carry: {variable!r} is not a ContextVar")
        if _carried.setdefault(variable.name, variable) is not variable:
            raise Error(f"carry: there are two context variables {variable.name!r}")
    if structlog:
        _with_structlog[:] = [True]
    around_enqueue(_pack)
    around_job(_unpack)


def forget() -> None:
    """Carry nothing any more."""
    _carried.clear()
    _with_structlog.clear()


def _pack(job: current.CurrentJob) -> Generator[None]:
    here = copy_context()
    # A variable that has only its default has it in the worker, too.
    values = {name: here[each] for name, each in _carried.items() if each in here}
    if values:
        job.context[_VARIABLES] = arguments.written((), values)
    if _with_structlog and (bound := _bound()):
        job.context[_STRUCTLOG] = bound
    yield


def _unpack(job: current.CurrentJob) -> Generator[None]:
    carried = job.context
    if _VARIABLES in carried:
        items, named = arguments.load(json.dumps(carried[_VARIABLES]))
        del items
        for name, value in named.items():
            # A worker of another version of the program may not know it.
            if name in _carried:
                _carried[name].set(value)
    if _STRUCTLOG in carried:
        _bind(carried[_STRUCTLOG])
    yield


def _bound() -> dict[str, Any]:
    from structlog import contextvars  # noqa: PLC0415 - most programs carry no such thing

    found = contextvars.get_contextvars()
    return {key: _plain(value) for key, value in found.items() if key not in _OF_JOB}


def _plain(value: object) -> object:
    return value if isinstance(value, (bool, int, type(None))) else str(value)[:_TEXT_MAX]


def _bind(values: Mapping[str, Any]) -> None:
    from structlog import contextvars  # noqa: PLC0415

    contextvars.bind_contextvars(**values)
