"""How this program finds its database at first use, and the session of an operation on it.

Apart from the client, which loads the driver: who defines jobs needs no driver yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


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


def lent(session: Session | None = None) -> contextlib.AbstractContextManager[Session]:
    """Lend the session that was given, or else one to the database of the program."""
    if session is not None:
        return contextlib.nullcontext(session)
    from jobsd.enqueueing import client  # noqa: PLC0415 - it loads the driver

    return client.default_client().session()
