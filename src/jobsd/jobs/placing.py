"""Where an enqueue without a connection goes in a program whose framework has one open."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Protocol

from .draft import Draft

if TYPE_CHECKING:
    from .bulk import EnqueuedJobs
    from .enqueue import EnqueuedJob


class Place(Protocol):
    """What a framework says of it. What returns None leaves it to a connection of ours."""

    def enqueue(self, drafted: Draft, *, waits: bool) -> EnqueuedJob | None:
        """Enqueue one job; `waits` says that it waits for an open transaction to commit."""
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

    def is_in_test(self) -> bool:
        """Return whether the program is a test, whose databases come and go."""
        ...


found: Place | None = None


def place_by(place: Place | None) -> None:
    """Say where enqueues go; None: through connections of ours."""
    global found  # noqa: PLW0603 - the program's one
    found = place
