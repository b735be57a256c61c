"""How this program finds its database at first use.

The client has a module of its own, since it loads the driver: a definition needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsd.database.connection import Target


chosen: Target | None = None
"""The database of the command that runs here: it takes precedence over all other sources."""
find_target: Callable[[], Target] | None = None
find_schema: Callable[[], str] | None = None

NOT_GIVEN: object = ...
"""Sentinel for a `connection` or `after_commit` that is not given; None is an error."""


def choose(target: Target) -> None:
    """Set the database of this program, which its configuration can override."""
    global chosen  # noqa: PLW0603 - the program's one
    chosen = target


def find_target_by(find: Callable[[], Target], find_schema_of: Callable[[], str]) -> None:
    """Set the functions that find the database at first use, and the schema without one."""
    global find_target, find_schema
    find_target, find_schema = find, find_schema_of
