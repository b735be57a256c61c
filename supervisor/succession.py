"""One place after the other gets a new process while its old one still works.

For each step: the successor is started beside the process that it follows; once it has
done a round of its work, it moves in, and its predecessor is told to end. The next step
waits until the predecessor has gone, but no longer than a drain may take: who runs a long
job may finish it, nobody is killed for a succession, and nobody else waits for it. A
successor that can't start leaves its predecessor where it is.

There may be only one monitor, so there the old one goes first; a place that is empty
anyhow is simply filled by the crew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .children import predecessor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .children import Child, ChildSpec, Place
    from .crew import Crew


MONITOR_S = 2.0
"""What a monitor has to say goodbye, however short a drain may be: it waits for a second
whether the whole tree ends."""


@dataclass(slots=True, eq=False)
class Step:
    """One place that is to be filled by another process, and what became of it."""

    place: Place
    spec: ChildSpec
    reason: Literal["reload", "recycled"]
    outcome: Literal["", "done", "failed"] = ""
    old: Child | None = None
    new: Child | None = None
    generation: int = 0
    """The last process that was started for the place before the step."""


class Succession:
    """Takes the steps that are planned, one at a time."""

    def __init__(self, crew: Crew, drain_s: float) -> None:
        self._crew = crew
        self._drain_s = drain_s
        self._planned: deque[Step] = deque()
        self._current: Step | None = None
        self._abandoned: Step | None = None
        self._until = 0.0

    def plan(self, steps: Iterable[Step]) -> None:
        """Take these steps too."""
        self._planned.extend(steps)

    def abandon(self) -> None:
        """Take no step that has not begun; the one under way says nothing about others."""
        self._planned.clear()
        self._abandoned = self._current

    def covers(self, place: Place) -> bool:
        """Return whether a step of this place is planned or under way."""
        steps = (*self._planned, *([self._current] if self._current else []))
        return any(step.place is place for step in steps)

    @property
    def under_way(self) -> bool:
        """Whether there is a step to be taken."""
        return self._current is not None or bool(self._planned)

    def next_due(self) -> float:
        """Return when the next step begins, even if nobody ends before."""
        waits = self._current is not None and self._current.outcome == "done"
        return self._until if waits else float("inf")

    def go_on(self, now: float) -> None:
        """Take the step that can be taken now."""
        step = self._current
        if step is not None and not step.outcome:
            self._look(step, now)
        if step is not None and (not step.outcome or self._drains(step, now)):
            return
        self._current = step = self._planned.popleft() if self._planned else None
        if step is not None:
            self._begin(step, now)

    def _begin(self, step: Step, now: float) -> None:
        place = step.place
        step.old, step.generation = place.child, place.generation
        if place not in self._crew.places:
            step.outcome = "done"
        elif step.old is None or step.spec.kind == "monitor":
            place.spec = step.spec
            place.backoff.clear()
            self._crew.replace(place, step.reason, now + max(self._drain_s, MONITOR_S))
        else:
            place.successor = step.new = self._crew.start(place, step.spec)
            if step.new is None:
                self._fail(step)

    def _look(self, step: Step, now: float) -> None:
        place = step.place
        if place not in self._crew.places:
            # Given up meanwhile, and all who are in it told to end; some may be gone.
            step.outcome = "done"
            return
        if step.new is None and place.child is not step.old:
            step.new = place.child
        if step.new is None:
            # A failure may be the predecessor's: it counts once another was started.
            if place.backoff.failures and place.generation > step.generation:
                self._fail(step)
        elif self._crew.living.get(step.new.pid) is not step.new:
            self._fail(step)
        elif step.new.at_work:
            step.outcome = "done"
            self._until = now + self._drain_s
            if place.successor is step.new and step.old is not None:
                place.vacate({**predecessor(step.old), "reason": step.reason})
                step.old.dismiss(step.reason)

    def _fail(self, step: Step) -> None:
        """What has failed once is not tried on others: a reload ends here."""
        step.outcome = "failed"
        if step.reason == "reload" and step is not self._abandoned:
            self._planned = deque(s for s in self._planned if s.reason != "reload")

    def _drains(self, step: Step, now: float) -> bool:
        old = step.old
        return (
            step.outcome == "done"
            and old is not None
            and self._crew.living.get(old.pid) is old
            and now < self._until
        )
