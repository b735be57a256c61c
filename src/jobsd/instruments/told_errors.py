"""Errors, as the log tells them: an object of type, message and stack."""

from __future__ import annotations

import sys
from typing import Any, cast

from jobsd.text import error_message, error_stack, error_type

FRAMES_MAX = 50
"""Of a deep recursion the last frames are enough."""


def settle_error(facts: dict[str, Any]) -> None:
    """Make `error` an object, from an exception, a text, or what `exc_info` tells of."""
    told = facts.pop("exc_info", None)
    error = facts.get("error")
    if not isinstance(error, BaseException):
        error = _raised(told) or error
    if isinstance(error, BaseException):
        facts["error"] = describe(error)
    elif isinstance(error, str):
        facts["error"] = {"type": "", "message": error, "stack": ""}


def describe(error: BaseException) -> dict[str, str]:
    """Return type, message and stack of an exception."""
    return {
        "type": error_type(error),
        "message": error_message(error),
        "stack": error_stack(error, FRAMES_MAX),
    }


def _raised(told: object) -> BaseException | None:
    """Return the exception that `exc_info` means: itself, that of a triple, the current one."""
    if isinstance(told, tuple):
        told = cast("tuple[object, ...]", told)[1]
    if isinstance(told, BaseException):
        return told
    return sys.exception() if told else None
