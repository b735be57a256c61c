"""Which jobs a command means: the filters of `list`, and the ids or `--all` of `retry`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from jobsd.states import STATES

from .verbs import CLASS, DURATION, JOB_ID, QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.jobs.listing import Filter

R = TypeVar("R")


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


class Choice(NamedTuple):
    """What an operator means to change: the jobs of some ids, or all that pass the filters."""

    ids: tuple[int, ...]
    everything: bool
    filters: Filters
    yes: bool

    def check(self) -> None:
        """Let nobody mean ids and all at once, or nothing.

        Raises:
            click.UsageError: saying what is missing or too much.
        """
        told = None
        if self.everything and self.ids:
            told = "give ids or --all, not both"
        elif not self.everything and not self.ids:
            told = "give the ids of jobs, or --all"
        elif not self.everything and any(given is not None for given in self.filters):
            told = "filters go with --all; ids mean these jobs alone"
        if told is not None:
            raise click.UsageError(told, click.get_current_context())


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


def chosen(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command ids, or `--all` with the options of a filter, as `choice`."""

    @click.argument("ids", metavar="[ID]...", type=JOB_ID, nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All that pass the filters.")
    @filtered
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401 - click's
        ids: tuple[int, ...],
        everything: bool,
        filters: Filters,
        yes: bool,
        **kwargs: Any,  # noqa: ANN401
    ) -> R:
        choice = Choice(tuple(dict.fromkeys(ids)), everything, filters, yes)
        choice.check()
        return function(*args, choice=choice, **kwargs)

    return run
