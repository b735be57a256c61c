"""A scheduler enqueues nothing while everything is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.acts import everything
from jobsd.processes.process import REST_MAX_S
from jobsd.scoreboard.scoreboard import Scoreboard

from .conftest import RUNS, amid_s, task

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeScheduler


def test_a_scheduler_that_starts_while_everything_is_paused_enqueues_nothing(
    make_scheduler: MakeScheduler, session: Session, rows: Rows
) -> None:
    everything.pause(session)
    driven = make_scheduler(task())
    driven.set_back()

    rests = {driven.poll() for _ in range(3)}

    assert (rests, rows(RUNS)) == ({REST_MAX_S}, [0])


@pytest.mark.parametrize("catch_up", [True, False])
def test_after_the_pause_instants_are_skipped_or_caught_up(
    make_scheduler: MakeScheduler, session: Session, rows: Rows, *, catch_up: bool
) -> None:
    scoreboard = Scoreboard()
    interval_s = amid_s()
    every = task(phrase=f"every: {interval_s}s", on_missed="all")
    driven = make_scheduler(every, scoreboard=scoreboard)
    driven.check()
    everything.pause(session)
    scoreboard.everything_paused = 1
    driven.poll()
    rows(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - make_interval(secs => %s)",
        3 * interval_s,
    )

    everything.resume(session, catch_up=catch_up)
    scoreboard.everything_paused = 0
    for _ in range(5):
        driven.poll()

    assert rows(RUNS) == [3 if catch_up else 0]
