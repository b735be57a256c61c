"""The hook by which `jobsd.testing` replaces the database in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from .draft import Draft

if TYPE_CHECKING:
    from .bulk import EnqueuedJobs
    from .enqueue import EnqueuedJob
    from .results import End


class StandIn(Protocol):
    """What takes jobs instead of the tables."""

    def enqueue(self, drafted: Draft) -> EnqueuedJob:
        """Take one job."""
        ...

    def enqueue_many(self, jobs: Iterable[Draft]) -> EnqueuedJobs:
        """Take all jobs or none."""
        ...

    def end_of(self, job_id: int) -> End:
        """Say how a job has ended that somebody waits for."""
        ...

    def examine(self, job_id: int) -> Any:  # noqa: ANN401 - of a room above
        """Return all that is known of a job, None when there is none of this id."""
        ...

    def client(self) -> Any:  # noqa: ANN401 - of a module above
        """Return what answers all other questions, as far as it can."""
        ...


find_connection: Callable[[], object] | None = None
"""What finds the connection in whose transaction a test of a framework enqueues."""

active: StandIn | None = None
"""What does so now; None outside of tests."""


def search(find: Callable[[], object]) -> None:
    """Say how the connection is found through which a test sees its jobs."""
    global find_connection  # noqa: PLW0603 - the program's one
    find_connection = find


def replace(by: StandIn | None) -> StandIn | None:
    """Let something stand in for the database, None for nothing; return what did so before."""
    global active
    before, active = active, by
    return before
