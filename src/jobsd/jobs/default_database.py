"""How this program finds its database at first use.

The client has a module of its own, since it loads the driver: a definition needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsd.database.connection import Target


chosen: Target | None = None
"""The database of the command that runs here: it counts whatever else would find one."""
find_target: Callable[[], Target] | None = None
find_schema: Callable[[], str] | None = None

NOT_GIVEN: object = ...
"""What `connection` and `after_commit` are where nobody gives them: None is a mistake."""


def choose(target: Target) -> None:
    """Say which database this program uses, unless it configures another one."""
    global chosen  # noqa: PLW0603 - the program's one
    chosen = target


def find_target_by(find: Callable[[], Target], find_schema_of: Callable[[], str]) -> None:
    """Say how the database is found at first use, and the schema where none is needed."""
    global find_target, find_schema
    find_target, find_schema = find, find_schema_of
