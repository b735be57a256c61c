"""Who follows whom, when the tree becomes another meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from jobsd.supervisor.children import Child
from jobsd.supervisor.rolling_restart import RollingRestart, Step


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


def _child(pid: int, reported: list[str]) -> Any:
    entry = SimpleNamespace(name=f"worker-{pid}")
    return SimpleNamespace(pid=pid, entry=entry, at_work=False, dismiss=reported.append)
