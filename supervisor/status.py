"""The tree's status: to systemd, in the supervisor's title, and as an event on USR2."""

from collections.abc import Callable
from typing import Any

from jobsd.clock import monotonic
from jobsd.processes.title import set_title
from jobsd.scoreboard.scoreboard import Scoreboard

from . import child_table, children
from .events import emit


class StatusReport:
    """Notifies systemd that we live, that all are up, and of each change of status."""

    def __init__(
        self,
        scoreboard: Scoreboard,
        table: child_table.ChildTable,
        notify: Callable[[str], None],
        watchdog_s: float | None,
    ) -> None:
        self._scoreboard = scoreboard
        self._table = table
        self._notify = notify
        self._every_s = watchdog_s / 2 if watchdog_s else float("inf")
        self._began = monotonic()
        self._ping_at = self._began if watchdog_s else float("inf")
        self._status = ""

    def report(self, now: float) -> None:
        """Send systemd the notifications that are due in this iteration."""
        if now >= self._ping_at:
            self._ping_at = now + self._every_s
            self._notify("WATCHDOG=1")
        if not self._scoreboard.ready and not self._scoreboard.stopping and self._all_up():
            self._scoreboard.ready = 1
            self._notify("READY=1")
            emit(
                self._scoreboard,
                "supervisor.ready",
                duration=round(now - self._began, 3),
                processes=len(self._table.children),
            )
        self._notify_status()

    def next_due(self) -> float:
        """Return when systemd's watchdog expects the next ping."""
        return self._ping_at

    def dump(self) -> None:
        """Log all facts about the tree."""
        emit(
            self._scoreboard,
            "supervisor.dumped",
            processes=self.table(),
            restarts={f"{kind} {why}": n for kind, why, n in self._scoreboard.restarts()},
            unrecovered=len(self._scoreboard.dead()),
            stopping=self._scoreboard.stopping,
        )

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each process, and for each child without one."""
        placed = {process for child in self._table.children for process in child.processes()}
        rows = [row for child in self._table.children for row in _rows(child)]
        leaving = (
            process for process in self._table.processes.values() if process not in placed
        )
        return rows + [_row(process, "leaving") for process in leaving]

    def _all_up(self) -> bool:
        return self._up() == len(self._table.children)

    def _up(self) -> int:
        return sum(p.process is not None and p.process.up for p in self._table.children)

    def _notify_status(self) -> None:
        status = self._sentence()
        if status != self._status:
            self._status = status
            set_title("supervisor", status)
            self._notify(f"STATUS={status}")

    def _sentence(self) -> str:
        if self._scoreboard.stopping:
            return f"stopping, {_processes(len(self._table.processes))} left"
        wanted = len(self._table.children)
        up = self._up()
        wait = "" if self._scoreboard.database_answers else ", waiting for the database"
        return f"{_processes(up) if up == wanted else f'{up} of {wanted} processes'} up{wait}"


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"


def _rows(child: children.Child) -> list[dict[str, Any]]:
    if not child.processes():
        wait_s = round(max(0.0, child.backoff.due - monotonic()), 3)
        return [{"kind": child.spec.kind, "label": child.spec.label, "starts_in_s": wait_s}]
    rows = [] if child.process is None else [_row(child.process, "")]
    return rows if child.successor is None else [*rows, _row(child.successor, "successor")]


def _row(process: children.ChildProcess, role: str) -> dict[str, Any]:
    entry = process.entry
    return {
        **process.facts(),
        "label": process.spec.label,
        "state": role or ("up" if process.up else "booting"),
        "asked": process.asked,
        "age_s": round(entry.age_s, 1),
        "tick_age_s": round(entry.tick_age_s, 1),
        "running": entry.in_cells(),
    }
