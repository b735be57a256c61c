"""What all changes by hand have in common: a session, and what follows the freeing of slots."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import client, limits

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobsd.database.connection import Session


def lent(session: Session | None) -> contextlib.AbstractContextManager[Session]:
    """Lend the session that was given, or else one to the database of the program."""
    return contextlib.nullcontext(session) if session else client.default_client().session()


def promote(session: Session, keys: Collection[str], *, keep: bool = True) -> None:
    """Let the next jobs of these keys become ready, behind what has freed their slots.

    Nobody here asks again for the keys that others hold: a dispatcher is asked to, at once.
    """
    promotion = limits.promote(session, keys, keep=keep)
    promotion.report()
    if promotion.missed:
        session.fetch(limits.STATEMENTS["ask"])
