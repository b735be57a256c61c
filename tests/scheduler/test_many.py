"""Ten thousand tasks are stored in linear time, whichever other trees name them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.recurring.tasks import STATEMENTS
from jobsd.scheduler.static_tasks import StaticTasks

from .conftest import hourly, task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeScheduler

MANY = 10_000
BY_STATIC = "SELECT static, count(*) FROM jobsd.recurring_tasks GROUP BY static ORDER BY static"


def _insert(rows: Rows, number: int) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " SELECT 'dynamic ' || i, %s, 'SchedulerTestJob' FROM generate_series(1, %s) AS i",
        hourly(),
        number,
    )


# What compares each with each takes longer at ten thousand than a statement may: 10 s.


@pytest.mark.parametrize("static", [0, 1])
def test_a_scheduler_starts_beside_ten_thousand_tasks_made_at_run_time(
    make_scheduler: MakeScheduler, rows: Rows, static: int
) -> None:
    _insert(rows, MANY)

    make_scheduler(*(task(f"static {n}", phrase=hourly()) for n in range(static))).connect()

    assert dict(rows(BY_STATIC)) == {False: MANY, **({True: static} if static else {})}


def test_ten_thousand_tasks_of_two_trees_are_left_to_a_third(
    make_scheduler: MakeScheduler, rows: Rows
) -> None:
    tasks = [task(f"static {n}", phrase=hourly()) for n in range(MANY)]
    older, newer = make_scheduler(*tasks), make_scheduler(*tasks)
    older.connect()
    newer.connect()
    older.end()
    newer.end()

    make_scheduler(*tasks[:-1]).connect()

    assert rows(BY_STATIC) == [(True, MANY - 1)]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


@pytest.mark.parametrize("known", [False, True], ids=["no figures", "figures"])
def test_storing_tasks_compares_no_task_with_all_others(
    make_scheduler: MakeScheduler, rows: Rows, session: Session, *, known: bool
) -> None:
    tasks = [task(f"static {n}", phrase=hourly()) for n in range(500)]
    make_scheduler(*tasks).connect()
    _insert(rows, 500)
    if known:
        rows("ANALYZE jobsd.recurring_tasks")
    other = StaticTasks([*tasks, task("dynamic 1")], 0)
    parameters = {"tasks": json.dumps(list(other.records.values())), "process_id": 0}

    explained = STATEMENTS["store_static"].after("EXPLAIN (ANALYZE, FORMAT JSON)")
    ((found,),) = session.fetch(explained, parameters)

    nodes = list(_nodes(found[0]["Plan"]))
    compared = [node for node in nodes if node.get("Rows Removed by Join Filter", 0) > 0]
    walked = [
        node
        for node in nodes
        if node.get("Rows Removed by Filter", 0) * node["Actual Loops"] > 2 * len(tasks)
    ]
    assert (compared, walked) == ([], [])
