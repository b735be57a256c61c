"""Who follows whom, when the tree becomes another meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobsd.supervisor.children import Child
from jobsd.supervisor.rolling_restart import MONITOR_S, RollingRestart, Step


def test_a_process_of_a_child_that_was_removed_is_dismissed_no_more() -> None:
    reported: list[str] = []
    spec: Any = SimpleNamespace(kind="worker")
    old, new = (_child(pid, reported) for pid in (1, 2))
    child = Child(spec)
    child.process = old
    table: Any = SimpleNamespace(children=[child], processes={1: old, 2: new})
    table.start = lambda _place, _spec: new  # pyright: ignore[reportUnknownLambdaType]
    rolling_restart = RollingRestart(table, 5.0)
    rolling_restart.plan([Step(child, spec, "recycled")])
    rolling_restart.advance(0.0)

    # TTOU, or a reload with fewer of them; the old one has ended before the new one works.
    table.children.remove(child)
    del table.processes[1]
    new.at_work = True
    rolling_restart.advance(1.0)

    assert reported == []
    assert not rolling_restart.under_way


def test_with_a_short_drain_the_monitor_has_its_time_all_the_same() -> None:
    asked: list[tuple[str, float]] = []
    spec: Any = SimpleNamespace(kind="monitor")
    child = Child(spec)
    child.process = _child(1, [])

    def replace(_child: Child, reason: str, kill_at: float) -> None:
        asked.append((reason, kill_at))

    table: Any = SimpleNamespace(children=[child], processes={}, replace=replace)
    rolling_restart = RollingRestart(table, 0.1)
    rolling_restart.plan([Step(child, spec, "reload")])

    rolling_restart.advance(10.0)

    assert asked == [("reload", 10.0 + MONITOR_S)]


def _two_steps() -> tuple[Any, RollingRestart, list[Step], list[Any]]:
    """Return a table of two workers whose successors boot, and a step for each of them."""
    spec: Any = SimpleNamespace(kind="worker")
    children = [Child(spec), Child(spec)]
    news = [_child(pid, []) for pid in (3, 4)]
    for pid, child in enumerate(children, 1):
        child.process = _child(pid, [])
    table: Any = SimpleNamespace(children=[*children], processes={3: news[0], 4: news[1]})

    def start(child: Child, _spec: object) -> Any:
        return news[children.index(child)]

    table.start = start
    steps = [Step(child, spec, "reload") for child in children]
    return table, RollingRestart(table, 0.0), steps, news


def test_a_child_that_was_removed_meanwhile_fails_no_step() -> None:
    table, rolling_restart, (step, _), _ = _two_steps()
    rolling_restart.plan([step])
    rolling_restart.advance(0.0)

    table.children.remove(step.child)
    rolling_restart.advance(1.0)

    assert step.outcome == "done"


@pytest.mark.parametrize(("overtaken", "begins"), [(False, False), (True, True)])
def test_a_step_that_fails_ends_its_own_reload_and_no_later_one(
    *, overtaken: bool, begins: bool
) -> None:
    table, rolling_restart, (first, second), news = _two_steps()
    rolling_restart.plan([first])
    rolling_restart.advance(0.0)
    if overtaken:
        rolling_restart.abandon()
    rolling_restart.plan([second])

    del table.processes[first.new.pid if first.new else 0]
    rolling_restart.advance(1.0)

    assert first.outcome == "failed"
    assert second.new is (news[1] if begins else None)


def _child(pid: int, reported: list[str]) -> Any:
    entry = SimpleNamespace(name=f"worker-{pid}")
    return SimpleNamespace(pid=pid, entry=entry, at_work=False, dismiss=reported.append)
