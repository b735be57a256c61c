"""What the tree is made of: specs, the children they ask for, and who fills each child.

A child is empty, filled, or being handed over: while a successor boots, the process that
it follows goes on working. A process that was told to end leaves its child at once and
is no more than a living process, until it is reaped.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.processes.entry import UP

from .backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.processes.entry import ScoreboardEntry
    from jobsd.processes.process import Context

    from .stack_dump import StackDump

EXIT_CONFIGURATION = 78


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`count` processes that are alike.

    `start` is called in the process, once it has left its parent behind, and returns the
    exit status. `label` tells people which of several specs of a kind it is.
    """

    kind: str
    count: int
    start: Callable[[Context], int]
    label: str = ""


@dataclass(slots=True, eq=False)
class ChildProcess:
    """A process of ours that has not been reaped.

    Invariant: signals are only sent to it while it is not reaped; until then nobody else
    can have its process id.
    """

    spec: ChildSpec
    entry: ScoreboardEntry
    pid: int
    generation: int
    """The how manieth it is in its child, from 1."""
    dump: StackDump
    asked: str = ""
    """Why we have told it to end: one of the entries' REASONS, or nothing."""
    asked_by: signal.Signals | None = None
    """By which signal."""
    kill_at: float | None = None
    """When it is killed if it has not ended by then."""
    killed: bool = False
    exit_status: int | None = None
    """What it returned, once it has ended by itself."""
    seen_at_work: bool = False
    """Whether it was at the end of a round: whoever waits for it has seen it then."""

    @property
    def up(self) -> bool:
        """Whether its loop has come round at least once."""
        return self.entry.state == UP

    @property
    def at_work(self) -> bool:
        """Whether another may leave because it is there.

        Without a database nobody works, and that holds up no change. A monitor has no
        predecessor.
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
        """Tell it to end. Without `kill_at` it may take its time.

        Who hangs is being killed for it, and stays so: that its jobs fail is the truth.
        """
        if self.asked != "hung":
            self.asked, self.asked_by, self.kill_at = reason, by, kill_at
            self.send(by)

    def kill(self) -> None:
        """End it now."""
        self.killed, self.kill_at = True, None
        self.send(signal.SIGKILL)

    def facts(self) -> dict[str, Any]:
        """Return who it is, for events."""
        return {"kind": self.spec.kind, "name": self.entry.name, "pid": self.pid}


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a process ended."""

    process: ChildProcess
    reason: str
    status: int
    """As `wait` gave it."""
    rss_kib: int

    @property
    def exit_status(self) -> int | None:
        """What it returned, if it ended by itself."""
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
        """Whether it is a misfortune, not something that we wanted."""
        return self.reason in {"exit", "signal", "oom", "hung"}

    def facts(self) -> dict[str, Any]:
        """Return all that is known, for events; `running` is thread → job."""
        return {
            "reason": self.reason,
            "exit_status": self.exit_status,
            "signal": self.signal_name,
            "max_rss_kib": self.rss_kib,
            "up_s": round(self.process.entry.up_s, 3),
            "running": self.process.entry.in_threads(),
        }


@dataclass(slots=True, eq=False)
class Child:
    """Where one process of a spec belongs."""

    spec: ChildSpec
    process: ChildProcess | None = None
    successor: ChildProcess | None = None
    """Who boots while `process` goes on working."""
    backoff: Backoff = field(default_factory=Backoff)
    generation: int = 0
    """How many processes were started for it."""
    number: int = 0
    """The how manieth of its kind, from 1; 0 until somebody is in it."""
    vacated: dict[str, Any] | None = None
    """Why and by whom it was left, until it is filled again."""

    def lose(self, death: ChildExit) -> None:
        """Take in that one of its processes has ended."""
        if death.process is self.successor:
            self.successor = None
            self.backoff.note(death.process.entry.up_s)
        elif death.process is self.process:
            self.vacate({**predecessor(death.process), **death.facts()})
            if death.unasked or death.reason == "terminated":
                self.backoff.note(death.process.entry.up_s)

    def vacate(self, why: dict[str, Any]) -> None:
        """Let go of the process; a successor that is on its way moves in."""
        self.vacated = why
        self.process, self.successor = self.successor, None
        if self.process is not None:
            self.spec = self.process.spec
            self.backoff.clear()

    def processes(self) -> list[ChildProcess]:
        """Return who is in it now."""
        return [process for process in (self.process, self.successor) if process is not None]


def predecessor(process: ChildProcess) -> dict[str, Any]:
    """Return who left a child, for the event of its replacement."""
    return {"predecessor": process.entry.name, "predecessor_pid": process.pid}
