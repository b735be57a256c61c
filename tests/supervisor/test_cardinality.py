"""However many queues, classes and errors there are, a scrape has bounded series."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobsd.metrics.metrics import exposition
from jobsd.operations.gauges import database_figures
from jobsd.scoreboard.counters import BUCKETS_S
from jobsd.scoreboard.queue_names import CLASSES_MAX, ERRORS_MAX, OTHERS, QUEUES_MAX
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.arrivals import Arrivals
from jobsd.supervisor.monitor.history import History
from jobsd.supervisor.monitor.tree_figures import tree_figures

if TYPE_CHECKING:
    from jobsd.database.connection import Session

NAMES = 10_000


@pytest.fixture(scope="module")
def scoreboard() -> Scoreboard:
    """Return the memory of a tree that has met ten thousand of each kind."""
    scoreboard = Scoreboard()
    scoreboard.database_up = 1
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-1")
    for number in range(NAMES):
        entry.queue(f"queue-{number}").count("finished")
        entry.job_class(f"shop.class_{number}").count("finished")
        entry.count_failure(f"shop.Error{number}", "failed")
    return scoreboard


def _series(body: bytes) -> Counter[str]:
    found = Counter[str]()
    for family in text_string_to_metric_families(body.decode()):
        found[family.name] += len(family.samples)
    return found


def test_the_series_of_a_tree_are_bounded_and_lose_no_count(scoreboard: Scoreboard) -> None:
    figures = tree_figures(scoreboard)
    body, _ = exposition(figures, None)

    found = _series(body)

    assert found["jobsd_jobs"] == 5 * (QUEUES_MAX + 1)
    assert found["jobsd_job_wait_seconds"] == (len(BUCKETS_S) + 3) * (QUEUES_MAX + 1)
    assert found["jobsd_class_jobs"] == 5 * (CLASSES_MAX + 1)
    assert found["jobsd_failures"] == 2 * (ERRORS_MAX + 1)
    assert found.total() < 60_000
    assert sum(each["finished"] for each in figures.outcomes.values()) == NAMES
    assert sum(each["finished"] for each in figures.class_outcomes.values()) == NAMES
    assert figures.failures[OTHERS]["failed"] == NAMES - ERRORS_MAX


def test_the_series_of_the_database_are_bounded_too(
    session: Session, scoreboard: Scoreboard
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
        " SELECT n, n, 0, 'queue-' || n FROM generate_series(0, %s) AS n",
        (NAMES + 2000,),
    )
    figures = database_figures(session, ())
    history = History(session, scoreboard)
    enqueued = Arrivals().update(session, figures, history.ended())

    assert len(figures.depths) == NAMES
    assert len(enqueued) <= NAMES
    body, _ = exposition(None, figures)
    found = _series(body)
    assert found["jobsd_queue_latency_seconds"] == NAMES
    assert found["jobsd_queue_jobs"] == 5 * NAMES
