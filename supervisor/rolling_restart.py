"""A rolling restart: one child after the other gets a successor while its process still works.

In each step the successor is started beside its predecessor. Once it has polled once, it
replaces the predecessor, which is asked to stop. The next step waits until the predecessor has
exited, but no longer than a drain may take: a process that runs a long job may finish it, no
process is killed for a rolling restart, and no other child waits for it. A successor that can't
start leaves its predecessor in place.

There may be only one monitor, so its process stops before the next one starts. A child without
a process simply gets one from the table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from . import child_table, children

MONITOR_S = 2.0
"""How long a monitor may take to stop, however short a drain is: it waits for a second whether
the whole tree stops."""


@dataclass(slots=True, eq=False)
class Step:
    """One child that is due for another process, and the outcome of that."""

    child: children.Child
    spec: children.ChildSpec
    reason: Literal["reload", "recycled"]
    outcome: Literal["", "done", "failed"] = ""
    old: children.ChildProcess | None = None
    new: children.ChildProcess | None = None
    generation: int = 0
    """The last process that was started for the child before the step."""


class RollingRestart:
    """Takes the planned steps, one at a time."""

    def __init__(self, table: child_table.ChildTable, drain_s: float) -> None:
        self._table = table
        self._drain_s = drain_s
        self._planned: deque[Step] = deque()
        self._current: Step | None = None
        self._abandoned: Step | None = None
        self._until = 0.0

    def plan(self, steps: Iterable[Step]) -> None:
        """Add these steps."""
        self._planned.extend(steps)

    def abandon(self) -> None:
        """Drop the steps that have not begun; if the current one fails, that ends no reload."""
        self._planned.clear()
        self._abandoned = self._current

    def covers(self, child: children.Child) -> bool:
        """Return whether a step of this child is planned or under way."""
        steps = (*self._planned, *([self._current] if self._current else []))
        return any(step.child is child for step in steps)

    @property
    def under_way(self) -> bool:
        """Whether a step is planned or under way."""
        return self._current is not None or bool(self._planned)

    def next_due(self) -> float:
        """Return when the next step begins, even if the predecessor has not exited by then."""
        waits = self._current is not None and self._current.outcome == "done"
        return self._until if waits else float("inf")

    def advance(self, now: float) -> None:
        """Finish the current step if it is done, and begin the next one if it can begin."""
        step = self._current
        if step is not None and not step.outcome:
            self._check(step, now)
        if step is not None and (not step.outcome or self._drains(step, now)):
            return
        self._current = step = self._planned.popleft() if self._planned else None
        if step is not None:
            self._begin(step, now)

    def _begin(self, step: Step, now: float) -> None:
        child = step.child
        step.old, step.generation = child.process, child.generation
        if child not in self._table.children:
            step.outcome = "done"
        elif step.old is None or step.spec.kind == "monitor":
            child.spec = step.spec
            child.backoff.clear()
            self._table.replace(child, step.reason, now + max(self._drain_s, MONITOR_S))
        else:
            child.successor = step.new = self._table.start(child, step.spec)
            if step.new is None:
                self._fail(step)

    def _check(self, step: Step, now: float) -> None:
        child = step.child
        if child not in self._table.children:
            # The child was removed meanwhile, and its processes were asked to stop.
            step.outcome = "done"
            return
        if step.new is None and child.process is not step.old:
            step.new = child.process
        if step.new is None:
            # The predecessor may have failed: a failure counts once another was started.
            if child.backoff.failures and child.generation > step.generation:
                self._fail(step)
        elif self._table.processes.get(step.new.pid) is not step.new:
            self._fail(step)
        elif step.new.at_work:
            step.outcome = "done"
            self._until = now + self._drain_s
            if child.successor is step.new and step.old is not None:
                child.vacate({**children.predecessor(step.old), "reason": step.reason})
                step.old.dismiss(step.reason)

    def _fail(self, step: Step) -> None:
        """Fail the step and its reload, since the other children would fail alike."""
        step.outcome = "failed"
        if step.reason == "reload" and step is not self._abandoned:
            self._planned = deque(s for s in self._planned if s.reason != "reload")

    def _drains(self, step: Step, now: float) -> bool:
        old = step.old
        return (
            step.outcome == "done"
            and old is not None
            and self._table.processes.get(old.pid) is old
            and now < self._until
        )
