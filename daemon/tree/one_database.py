"""Refuses a tree whose application enqueues into another database than the tree works on."""

import json

from jobsd.database.connection import Target, redact
from jobsd.database.identity import are_one
from jobsd.errors import ConfigurationError, DatabaseUnreachableError, Fault
from jobsd.events.events import emit


def require(ours: Target, named: str) -> None:
    """Compare the database of the tree with that of the application, if it names one (`named`).

    Raises:
        ConfigurationError: when they are two.
    """
    if not named:
        return
    applied = Target(*json.loads(named))
    names = f"{_shown(applied)}, the daemon works on {_shown(ours)}"
    try:
        one = are_one(ours, applied)
    except DatabaseUnreachableError as error:
        warning = f"the application enqueues into {names}: not compared, since we {error}"
        emit("configuration.warning", warning=warning)
        return
    if not one:
        hint = "name one database for both, or only in the application"
        fault = Fault(f"the application enqueues into {names}: these are two", hint=hint)
        raise ConfigurationError((fault,))


def _shown(target: Target) -> str:
    return f"[{redact(target.url)} schema={target.schema}]"
