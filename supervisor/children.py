"""The children of a tree: their specs, and the processes of each child.

A child has no process, has one, or is handed over: while a successor boots, its predecessor
keeps working. A process that was asked to stop no longer belongs to its child; it is only
reaped.
"""

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobsd.clock import monotonic
from jobsd.processes.context import Context
from jobsd.scoreboard.entry import UP, ScoreboardEntry

from .stack_dump import StackDump

EXIT_CONFIGURATION = 78
EXIT_OUTCOMES_LOST = 74
"""The exit status of a tree that could neither record outcomes at its end nor keep them in
journals."""
STABLE_S = 2.0
FIRST_S = 0.25
LONGEST_S = 30.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`count` processes that are alike.

    `start` is called in the forked process and returns the exit status. `label` distinguishes
    several specs of a kind for people.
    """

    kind: str
    count: int
    start: Callable[[Context], int]
    label: str = ""


@dataclass(slots=True, eq=False)
class ChildProcess:
    """A process of ours that has not been reaped.

    Invariant: signals are sent to it only until it is reaped; until then no other process can
    have its process id.
    """

    spec: ChildSpec
    entry: ScoreboardEntry
    pid: int
    generation: int
    """Its number among the processes of its child, from 1."""
    dump: StackDump
    asked: str = ""
    """Why we have asked it to stop: one of the entries' REASONS, or nothing."""
    asked_by: signal.Signals | None = None
    """The signal used for that."""
    kill_at: float | None = None
    """When it is killed if it has not exited by then."""
    killed: bool = False
    exit_status: int | None = None
    """Its exit status, once it has exited by itself."""
    seen_at_work: bool = False
    """Whether it was at work when we last checked."""

    @property
    def up(self) -> bool:
        """Whether its loop has ticked at least once."""
        return self.entry.state == UP

    @property
    def at_work(self) -> bool:
        """Whether its predecessor may stop.

        Without a database no process works, and that must not hold up a rolling restart. A
        monitor has no predecessor.
        """
        entry = self.entry
        return self.up and bool(
            entry.working or entry.database_down or self.spec.kind == "monitor"
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def dismiss(
        self,
        reason: str,
        kill_at: float | None = None,
        by: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Ask it to stop. Without `kill_at` it may take as long as it needs.

        A process that is being killed because it hung keeps that reason: its jobs fail.
        """
        if self.asked != "hung":
            self.asked, self.asked_by, self.kill_at = reason, by, kill_at
            self.entry.kill_at_ns = round((kill_at or 0) * 1e9)
            self.send(by)

    def kill(self) -> None:
        """Kill it now."""
        self.killed, self.kill_at = True, None
        self.send(signal.SIGKILL)

    def facts(self) -> dict[str, Any]:
        """Return its kind, name and pid, for events."""
        return {"kind": self.spec.kind, "name": self.entry.name, "pid": self.pid}


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a process ended."""

    process: ChildProcess
    reason: str
    status: int
    """The wait status."""
    rss_kib: int

    @property
    def exit_status(self) -> int | None:
        """Its exit status, if it exited by itself."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None

    @property
    def signal_name(self) -> str | None:
        """The signal that ended it, if one did."""
        if not os.WIFSIGNALED(self.status):
            return None
        number = os.WTERMSIG(self.status)
        try:
            return signal.Signals(number).name
        except ValueError:
            return f"signal {number}"

    @property
    def unasked(self) -> bool:
        """Whether it exited without our request."""
        return self.reason in {"exit", "signal", "oom", "hung"}

    def facts(self) -> dict[str, Any]:
        """Return all known facts, for events; `running` is thread → job."""
        return {
            "reason": self.reason,
            "exit_status": self.exit_status,
            "signal": self.signal_name,
            "max_rss_kib": self.rss_kib,
            "up_s": round(self.process.entry.up_s, 3),
            "running": self.process.entry.in_cells(),
        }


class Backoff:
    """How long a child stays without a process after one has exited.

    A process that lived for more than two seconds after its first tick had worked: it is
    replaced at once, however often it exits. Any other is started again after 0.25 s. The pause
    doubles each time, up to 30 s. The tries never end, because a missing resource may come
    back. A jitter keeps children that fail for the same reason from starting at the same time.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.due = 0.0

    def note(self, up_s: float) -> float:
        """Count an exit, or a fork that failed (`up_s` 0); return the seconds to wait."""
        if up_s > STABLE_S:
            self.clear()
            return 0.0
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self.failures, 10))
        wait_s *= random.uniform(0.8, 1.0)  # noqa: S311 - no secret
        self.failures += 1
        self.due = monotonic() + wait_s
        return wait_s

    def clear(self) -> None:
        """Reset the failures: a new process may well start."""
        self.failures, self.due = 0, 0.0


@dataclass(slots=True, eq=False)
class Child:
    """One of the `count` children of a spec: it has a process, or is to get one."""

    spec: ChildSpec
    process: ChildProcess | None = None
    successor: ChildProcess | None = None
    """It boots while `process` goes on working."""
    backoff: Backoff = field(default_factory=Backoff)
    generation: int = 0
    """How many processes were started for it."""
    number: int = 0
    """Its number among the children of its kind, from 1; 0 until it has a process."""
    vacated: dict[str, Any] | None = None
    """Why it has no process, and which one it had, until it has one again."""

    def lose(self, exited: ChildExit) -> None:
        """Note that one of its processes has exited, and back off if that was too soon."""
        if exited.process is self.successor:
            self.successor = None
            self.backoff.note(exited.process.entry.up_s)
        elif exited.process is self.process:
            self.vacate({**predecessor(exited.process), **exited.facts()})
            if exited.unasked or exited.reason == "terminated":
                self.backoff.note(exited.process.entry.up_s)

    def vacate(self, why: dict[str, Any]) -> None:
        """Drop the process; a successor that boots replaces it."""
        self.vacated = why
        self.process, self.successor = self.successor, None
        if self.process is not None:
            self.spec = self.process.spec
            self.backoff.clear()

    def processes(self) -> list[ChildProcess]:
        """Return the process and the successor, if they exist."""
        return [process for process in (self.process, self.successor) if process is not None]


def predecessor(process: ChildProcess) -> dict[str, Any]:
    """Return the process that has left, for the event of its replacement."""
    return {"predecessor": process.entry.name, "predecessor_pid": process.pid}
