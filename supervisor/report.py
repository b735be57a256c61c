"""What the supervisor says of its tree: to systemd, in its title, and when it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.processes.title import set_title

from .telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.processes.board import Board

    from .children import Child, Place
    from .crew import Crew


class Report:
    """Tells systemd that we live, when all are up, and how it stands when that changes."""

    def __init__(
        self,
        board: Board,
        crew: Crew,
        notify: Callable[[str], None],
        watchdog_s: float | None,
    ) -> None:
        self._board = board
        self._crew = crew
        self._notify = notify
        self._every_s = watchdog_s / 2 if watchdog_s else float("inf")
        self._began = monotonic()
        self._ping_at = self._began if watchdog_s else float("inf")
        self._status = ""

    def go_on(self, now: float) -> None:
        """Tell what is to be told in this round."""
        if now >= self._ping_at:
            self._ping_at = now + self._every_s
            self._notify("WATCHDOG=1")
        if not self._board.ready and not self._board.stopping and self._all_up():
            self._board.ready = 1
            self._notify("READY=1")
            tell(
                self._board,
                "supervisor.ready",
                duration=round(now - self._began, 3),
                processes=len(self._crew.places),
            )
        self._tell_status()

    def next_due(self) -> float:
        """Return when systemd wants to hear of us."""
        return self._ping_at

    def tell_state(self) -> None:
        """Tell all that is known of the tree."""
        tell(
            self._board,
            "supervisor.state",
            processes=self.table(),
            restarts={f"{kind} {why}": n for kind, why, n in self._board.restarts()},
            unwritten_deaths=len(self._board.dead()),
            stopping=self._board.stopping,
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row for each process, and for each place that has none."""
        placed = {child for place in self._crew.places for child in place.processes()}
        rows = [row for place in self._crew.places for row in _rows(place)]
        leaving = (child for child in self._crew.living.values() if child not in placed)
        return rows + [_row(child, "leaving") for child in leaving]

    def _all_up(self) -> bool:
        return self._up() == len(self._crew.places)

    def _up(self) -> int:
        return sum(p.child is not None and p.child.up for p in self._crew.places)

    def _tell_status(self) -> None:
        status = self._sentence()
        if status != self._status:
            self._status = status
            set_title("supervisor", status)
            self._notify(f"STATUS={status}")

    def _sentence(self) -> str:
        if self._board.stopping:
            return f"stopping, {_processes(len(self._crew.living))} left"
        wanted = len(self._crew.places)
        up = self._up()
        wait = "" if self._board.database_answers else ", waiting for the database"
        return f"{_processes(up) if up == wanted else f'{up} of {wanted} processes'} up{wait}"


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"


def _rows(place: Place) -> list[dict[str, Any]]:
    if not place.processes():
        wait_s = round(max(0.0, place.backoff.due - monotonic()), 3)
        return [{"kind": place.spec.kind, "label": place.spec.label, "starts_in_s": wait_s}]
    rows = [] if place.child is None else [_row(place.child, "")]
    return rows if place.successor is None else [*rows, _row(place.successor, "successor")]


def _row(child: Child, role: str) -> dict[str, Any]:
    slot = child.slot
    return {
        **child.facts(),
        "label": child.spec.label,
        "state": role or ("up" if child.up else "booting"),
        "asked": child.asked,
        "age_s": round(slot.age_s, 1),
        "tick_age_s": round(slot.tick_age_s, 1),
        "running": slot.in_threads(),
    }
