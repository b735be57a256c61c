"""What all changes by hand have in common: a session."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import client

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def lent(session: Session | None) -> contextlib.AbstractContextManager[Session]:
    """Lend the session that was given, or else one to the database of the program."""
    return contextlib.nullcontext(session) if session else client.default_client().session()
