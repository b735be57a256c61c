"""The session of an operation on the program's database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def lent(session: Session | None = None) -> contextlib.AbstractContextManager[Session]:
    """Lend the session that was given, or else one to the database of the program."""
    if session is not None:
        return contextlib.nullcontext(session)
    from . import client  # noqa: PLC0415 - it loads the driver

    return client.default_client().session()
