"""A job as its claim has brought it to the process that runs it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple


class ClaimedJob(NamedTuple):
    """The columns of `take` in states/ready.sql.

    A tuple, like the other things that are made for each job: it takes a fifth of the
    time of a frozen dataclass.
    """

    claim_id: int
    id: int
    class_name: str
    arguments: str
    queue_name: str
    attempts: int
    max_attempts: int
    due_at: float
    """Since when it could have run (by our `monotonic`)."""
    concurrency_key: str | None
    """The limit of which its claim holds a slot."""
    priority: int
    position: int
    context: str | None = None
    """JSON text of the context that was stored at the enqueue."""
    expires_at: float | None = None
    """When it is not begun any more (by our `monotonic`); None: never."""
    set_aside_s: float | None = None
    """How long ago it was set aside first, as its arguments did not fit; None: it was not."""
    created_us: int | None = None
    """The time of its creation, in microseconds since 1970; with the id it identifies the job.
    """

    @property
    def attempt(self) -> int:
        """Which attempt it is, from 1."""
        return self.attempts + 1


claimed_job: Callable[[tuple[Any, ...]], ClaimedJob] = partial(
    tuple.__new__,  # pyright: ignore[reportUnknownMemberType] - of any type
    ClaimedJob,
)
