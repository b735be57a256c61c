"""What a search finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.acts.listing import listed
from jobsd.operations.search import read_search

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def found_ids(session: Session, text: str) -> list[int]:
    """Return the ids of the jobs that a search finds, in order."""
    return sorted(job.id for job in listed(session, read_search(text).meant).jobs)
