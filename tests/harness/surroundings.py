"""What a test has put around jobs and enqueues: middleware, and contexts that are carried."""

from __future__ import annotations

from jobsd.jobs import context, middleware


def forget_surroundings() -> None:
    """Put nothing around them any more."""
    middleware.JOBS.forget()
    middleware.ENQUEUES.forget()
    context.forget()
