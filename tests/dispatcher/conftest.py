"""A dispatcher whose rounds the test takes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from jobsd.configuration.options import DispatcherOptions, JobsOptions
from jobsd.database.connection import Target
from jobsd.dispatcher.dispatcher import Dispatcher
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from rows_of_limits import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session


class Make(Protocol):
    def __call__(
        self,
        batch_size: int = ...,
        wakeups: str = ...,
        *,
        keep: bool = ...,
        maintenance: bool = ...,
        interval_s: float = ...,
        listen_url: str | None = ...,
        url: str | None = ...,
    ) -> tuple[Dispatcher, Context]: ...


@pytest.fixture
def table(session: Session) -> Table:
    """The queue, spoken to in SQL."""
    return Table(session)


@pytest.fixture
def make(target: Target) -> Iterator[Make]:
    client.configure(client=Client(target))
    scoreboard = Scoreboard()
    made: list[Dispatcher] = []

    def make_one(
        batch_size: int = 500,
        wakeups: str = "auto",
        *,
        keep: bool = True,
        maintenance: bool = True,
        interval_s: float = 600,
        listen_url: str | None = None,
        url: str | None = None,
    ) -> tuple[Dispatcher, Context]:
        entry = scoreboard.free_entry()
        assert entry is not None
        name = f"dispatcher-{len(made)}"
        entry.take("dispatcher", name)
        context = Context(scoreboard, entry, name)
        options = DispatcherOptions(
            batch_size=batch_size,
            concurrency_maintenance=maintenance,
            concurrency_maintenance_interval_s=interval_s,
        )
        jobs = JobsOptions(preserve_finished_jobs=keep, unknown_class_after_s=0)
        chosen = Target(url or target.url, wakeups=wakeups, listen_url=listen_url)
        dispatcher = Dispatcher(context, chosen, options, jobs)
        dispatcher.connect()
        made.append(dispatcher)
        return dispatcher, context

    yield make_one
    for dispatcher in made:
        dispatcher.disconnect()
    client.configure()
