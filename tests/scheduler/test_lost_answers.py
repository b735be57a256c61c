"""A run whose answer was lost is enqueued once, and reported once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from lost_answers import losing

from .conftest import task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from lost_answers import LostAnswers
    from rows import Rows

    from .conftest import Driven, Emitted, MakeScheduler

STORED = "SELECT job_id FROM jobsd.recurring_executions WHERE job_id IS NOT NULL ORDER BY 1"


@pytest.fixture
def way(target: Target) -> Iterator[tuple[LostAnswers, Target]]:
    with losing(target) as way:
        yield way


def _lose(driven: Driven, way: LostAnswers) -> None:
    driven.set_back()
    way.lose(b"COMMIT")
    with pytest.raises(psycopg.OperationalError):
        driven.until(lambda: False)
    assert way.lost == 1
    driven.scheduler.disconnect()
    driven.connected = False


def _enqueued(emitted: Emitted) -> list[int]:
    return sorted(facts["job_id"] for name, facts in emitted if name == "recurring.enqueued")


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.failure(
    "The connection of a scheduler breaks between the commit of a run and its answer.",
    "The scheduler asks the server what became of it, and reports the run once.",
)
def test_a_run_whose_answer_was_lost_is_reported_once(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
    *,
    unique: bool,
) -> None:
    lossy, target = way
    overlap = {"overlap": "skip"} if unique else {}
    driven = make_scheduler(task(**overlap), at=target)
    _lose(driven, lossy)
    stored = rows(STORED)
    assert len(stored) > len(_enqueued(emitted))

    driven.poll()
    driven.until(lambda: set(stored) <= set(_enqueued(emitted)))
    driven.check()

    assert _enqueued(emitted) == rows(STORED)


def test_a_run_of_which_nothing_is_left_is_not_reported(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
) -> None:
    lossy, target = way
    driven = make_scheduler(task(), at=target)
    _lose(driven, lossy)
    gone = set(rows(STORED)) - set(_enqueued(emitted))
    # As on a standby that is promoted without it, and has given its number out again.
    rows("DELETE FROM jobsd.recurring_executions RETURNING 1")

    driven.check()

    assert gone
    assert gone.isdisjoint(_enqueued(emitted))
