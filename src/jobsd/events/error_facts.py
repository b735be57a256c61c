"""Errors as facts of an event: an object of type, message and stack."""

import sys
from typing import Any, cast

from jobsd.text import error_message, error_stack, error_type

FRAMES_MAX = 50
"""Of a deep recursion the last frames are enough."""


def normalize_error(facts: dict[str, Any]) -> None:
    """Make `error` an object, from an exception, a text, or `exc_info` as in `logging`."""
    exc_info = facts.pop("exc_info", None)
    error = facts.get("error")
    if not isinstance(error, BaseException):
        error = _raised(exc_info) or error
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


def _raised(exc_info: object) -> BaseException | None:
    """Return the exception in `exc_info`: itself, that of a triple, the current one."""
    if isinstance(exc_info, tuple):
        exc_info = cast("tuple[object, ...]", exc_info)[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exception() if exc_info else None
