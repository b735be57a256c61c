"""A worker publishes the definitions that it has imported, those too that it imports later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.jobs.definition import job

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
    worker.worker._known_classes._survey_at = 0.0  # pyright: ignore[reportPrivateUsage]
    worker.until(lambda: rows(MINE, "imported.later") == [("late", 1)])
