"""What takes jobs instead of a connection of ours: the test kit, or a framework.

`jobsd.testing` replaces the database in a test (`active`). A framework with an open connection
chooses the target of an enqueue without one (`found`).
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.states.results import End

from .bulk import EnqueuedJobs


class StandIn(Protocol):
    """What takes jobs instead of the tables."""

    def enqueue(self, drafted: Draft) -> EnqueuedJob:
        """Take one job."""
        ...

    def enqueue_many(self, jobs: Iterable[Draft]) -> EnqueuedJobs:
        """Take all jobs or none."""
        ...

    def end_of(self, job_id: int) -> End:
        """Return how a job ended that a thread waits for."""
        ...

    def examine(self, job_id: int) -> Any:  # noqa: ANN401 - of a room above
        """Return all that is known of a job, None when there is none of this id."""
        ...

    acts: Any
    """Functions that answer in place of those of the same name: see `on_demand.replaceable`."""


find_connection: Callable[[], object] | None = None
"""Finds the connection in whose transaction a test of a framework enqueues."""

active: StandIn | None = None
"""What does so now; None outside of tests."""


def search(find: Callable[[], object]) -> None:
    """Set the function that finds the connection through which a test sees its jobs."""
    global find_connection  # noqa: PLW0603 - the program's one
    find_connection = find


def replace(by: StandIn | None) -> StandIn | None:
    """Let something stand in for the database, None for nothing; return what did so before."""
    global active
    before, active = active, by
    return before


class Place(Protocol):
    """Takes jobs over a framework's connection; None leaves them to a connection of ours."""

    def enqueue(self, drafted: Draft, *, waits: bool) -> EnqueuedJob | None:
        """Enqueue one job; if `waits`, after an open transaction has committed."""
        ...

    def enqueue_many(self, jobs: Iterable[Draft], *, waits: bool) -> EnqueuedJobs | None:
        """Enqueue all jobs or none."""
        ...

    def aenqueue(self, drafted: Draft) -> Awaitable[EnqueuedJob] | None:
        """Enqueue one job where an event loop runs."""
        ...

    def aenqueue_many(self, jobs: Iterable[Draft]) -> Awaitable[EnqueuedJobs] | None:
        """Enqueue all jobs or none where an event loop runs."""
        ...

    def at_rollback(self, undo: Callable[[], None]) -> None:
        """Call a function if the open transaction, or savepoint, is rolled back."""
        ...

    def driver_of_test(self) -> Any:  # noqa: ANN401 - of a room above
        """Return what sees the rows of the test's transaction; None if there is none."""
        ...

    def is_in_test(self) -> bool:
        """Return whether the program is a test, whose databases come and go."""
        ...


framework: Place | None = None
"""That of the program's framework."""


def place_by(place: Place | None) -> None:
    """Set the backend of enqueues; None: connections of ours."""
    global framework  # noqa: PLW0603 - the program's one
    framework = place
