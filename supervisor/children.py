"""What the tree is made of: specs, the places they ask for, and who fills each place.

A place is empty, filled, or being handed over: while a successor boots, the process that
it follows goes on working. A process that was told to end leaves its place at once and
is no more than a living child, until it is reaped.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.processes.slot import UP

from .backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.processes.process import Context
    from jobsd.processes.slot import Slot

    from .dump import Dump

EXIT_CONFIGURATION = 78


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`count` processes that are alike.

    `start` is called in the child, once it has left its parent behind, and returns the
    exit status. `label` tells people which of several specs of a kind it is.
    """

    kind: str
    count: int
    start: Callable[[Context], int]
    label: str = ""


@dataclass(slots=True, eq=False)
class Child:
    """A process of ours that has not been reaped.

    Invariant: signals are only sent to it while it is not reaped; until then nobody else
    can have its process id.
    """

    spec: ChildSpec
    slot: Slot
    pid: int
    generation: int
    """The how manieth it is in its place, from 1."""
    dump: Dump
    asked: str = ""
    """Why we have told it to end: one of the slots' REASONS, or nothing."""
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
        return self.slot.state == UP

    @property
    def at_work(self) -> bool:
        """Whether another may leave because it is there.

        Without a database nobody works, and that holds up no change. A monitor has no
        predecessor.
        """
        slot = self.slot
        return self.up and bool(slot.works or slot.suffers or self.spec.kind == "monitor")

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
        return {"kind": self.spec.kind, "name": self.slot.name, "pid": self.pid}


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended."""

    child: Child
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
            "up_s": round(self.child.slot.up_s, 3),
            "running": self.child.slot.in_threads(),
        }


@dataclass(slots=True, eq=False)
class Place:
    """Where one process of a spec belongs."""

    spec: ChildSpec
    child: Child | None = None
    successor: Child | None = None
    """Who boots while `child` goes on working."""
    backoff: Backoff = field(default_factory=Backoff)
    generation: int = 0
    """How many processes were started for it."""
    number: int = 0
    """The how manieth of its kind, from 1; 0 until somebody is in it."""
    vacated: dict[str, Any] | None = None
    """Why and by whom it was left, until it is filled again."""

    def lose(self, death: Death) -> None:
        """Take in that one of its processes has ended."""
        if death.child is self.successor:
            self.successor = None
            self.backoff.note(death.child.slot.up_s)
        elif death.child is self.child:
            self.vacate({**predecessor(death.child), **death.facts()})
            if death.unasked or death.reason == "told":
                self.backoff.note(death.child.slot.up_s)

    def vacate(self, why: dict[str, Any]) -> None:
        """Let go of the process; a successor that is on its way moves in."""
        self.vacated = why
        self.child, self.successor = self.successor, None
        if self.child is not None:
            self.spec = self.child.spec
            self.backoff.clear()

    def processes(self) -> list[Child]:
        """Return who is in it now."""
        return [child for child in (self.child, self.successor) if child is not None]


def predecessor(child: Child) -> dict[str, Any]:
    """Return who left a place, for the event of its replacement."""
    return {"predecessor": child.slot.name, "predecessor_pid": child.pid}
