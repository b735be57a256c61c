"""What an application hands on to the tree in its web server: its database, and its jobs.

It counts like DATABASE_URL, the last of the sources: what the operator has set for the daemon
may be another way to the same database. The tree compares the two, and refuses another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from jobsd import errors

APPLIED = "JOBSD_APPLICATION_DATABASE"
"""URL and schema into which the application enqueues, as JSON: for the tree to compare."""
SCHEMA = "JOBSD_DATABASE_SCHEMA"
"""The schema of the tables, for a tree whose queue.yml has none."""
_found_by: Callable[[], Mapping[str, str]] | None = None


def find_by(variables: Callable[[], Mapping[str, str]]) -> None:
    """Set the function of a framework that returns the variables of its application."""
    global _found_by  # noqa: PLW0603 - the program's one application
    _found_by = variables


def environ() -> dict[str, str]:
    """Return the environment of the tree: ours, and what it lacks from the application.

    An empty variable is lacking. An application whose database does not fit hands on none: the
    tree reports that it has none.
    """
    made = _made()
    set_here = {name: value for name, value in os.environ.items() if value or name not in made}
    return made | set_here | applied()


def applied() -> dict[str, str]:
    """Return the variable with the database into which the application enqueues, if any."""
    return {name: value for name, value in _made().items() if name == APPLIED}


def pair(url: str, schema: str, *only_against: str) -> dict[str, str]:
    """Return the variable with a database.

    With `only_against` it is compared only where one of these variables names the daemon's.
    """
    return {APPLIED: json.dumps([url, schema, *only_against])}


def _made() -> dict[str, str]:
    made: dict[str, str] = {}
    if _found_by is not None:
        with contextlib.suppress(errors.ConfigurationError):
            made.update(_found_by())
    return made | of_program()


def of_program() -> dict[str, str]:
    """Return the variables of the database that the program has configured, {} for none."""
    target = configured()
    if target is None:
        return {}
    return {
        "DATABASE_URL": str(target.url),
        SCHEMA: str(target.schema),
        **pair(str(target.url), str(target.schema)),
    }


def configured() -> Any:  # noqa: ANN401 - a Target: this module lies below that of the driver
    """Return the database that the program has configured; if it did, it loaded the client."""
    client: Any = sys.modules.get("jobsd.enqueueing.client")
    return None if client is None else client.configured_target()
