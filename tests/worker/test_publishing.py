"""A worker publishes the definitions that it has imported, those too that it imports later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.jobs.definition import job
from jobsd.operations.job_info import find

if TYPE_CHECKING:
    from rows import Rows

    from .conftest import MakeWorker


@job(queue="post", max_attempts=3)
def publish_me() -> None: ...


MINE = "SELECT queue_name, max_attempts FROM jobsd.definitions WHERE class_name = %s"


def test_definitions_are_published(make_worker: MakeWorker, rows: Rows) -> None:
    worker = make_worker()

    assert rows(MINE, publish_me.definition.name) == [("post", 3)]

    job(name="imported.later", queue="late")(lambda: None)
    worker.worker.claiming.known_classes.survey_at = 0.0  # pyright: ignore[reportPrivateUsage]
    worker.until(lambda: rows(MINE, "imported.later") == [("late", 1)])


@job(timeout="30s", kill_after="2s")
def bounded() -> None: ...


def test_a_job_that_has_not_ended_shows_its_time_limit(
    make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker()
    enqueued, other = bounded.using(wait=3600).enqueue(), publish_me.using(wait=3600).enqueue()
    waiting, unlimited = find(enqueued.id or 0), find(other.id or 0)
    assert waiting is not None
    assert unlimited is not None

    assert (waiting.details["timeout"], waiting.details["kill_after"]) == (30.0, 2.0)
    assert "timeout" not in unlimited.details

    done = bounded.enqueue()
    worker.until(lambda: rows("SELECT 1 FROM jobsd.jobs WHERE outcome = 'finished'"))
    ended = find(done.id or 0)
    assert ended is not None
    assert "timeout" not in ended.details
