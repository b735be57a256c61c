"""The filters of `list`, which `retry --all` and `discard --all` have too."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from .verbs import CLASS, DURATION, QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.jobs.listing import Filter

R = TypeVar("R")

STATES = ("scheduled", "ready", "blocked", "claimed", "failed", "finished", "discarded")


class Filters(NamedTuple):
    """What the options say; None where they say nothing."""

    state: str | None
    queue: str | None
    class_name: str | None
    since_s: float | None
    limit: int | None

    def meant(self) -> Filter:
        """Return which jobs are meant."""
        from jobsd.jobs.listing import Filter  # noqa: PLC0415 - help needs it not

        return Filter(self.state, self.queue, self.class_name, self.since_s)


def filtered(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a filter, as `filters`."""

    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401 - click's
        state: str | None,
        queue: str | None,
        class_name: str | None,
        since_s: float | None,
        limit: int | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> R:
        filters = Filters(state, queue, class_name, since_s, limit)
        return function(*args, filters=filters, **kwargs)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


_OPTIONS = (
    click.option("--state", type=click.Choice(STATES), help="Only those in this state."),
    click.option("--queue", type=QUEUE, metavar="NAME", help="Only those of this queue."),
    click.option(
        "--class", "class_name", type=CLASS, metavar="NAME", help="Only those of this job."
    ),
    click.option(
        "--since", "since_s", type=DURATION, help="Only those enqueued since: 30s, 1h, 2d."
    ),
    click.option(
        "-n", "--limit", type=click.IntRange(1), help="How many at most, the newest first."
    ),
)
