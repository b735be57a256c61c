"""What a process is given by the supervisor that starts it."""

from dataclasses import field
from pathlib import Path
from typing import Any

from jobsd import late
from jobsd.logs.pipes import Pipes
from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry

from .nap import Nap


@late.dataclass(slots=True)
class Context:
    """The scoreboard of the tree, the process's own entry, its nap and its state."""

    scoreboard: Scoreboard
    entry: ScoreboardEntry
    name: str
    lifeline: int | None = None
    """Readable, at its end, once the supervisor is gone."""
    pipes: Pipes = field(default_factory=Pipes)
    """For what the author's modules write to stdout and stderr."""
    nap: Nap = field(default_factory=Nap)
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the process's row says of it, once it has registered."""
    journals: Path | None = None
    """The folder of the journals of this host, by which outcomes outlive the tree."""
    stopping: bool = False
    quiet: bool = False
    """Whether it takes nothing new, as somebody has asked for; a worker then claims no job."""
    orphaned: bool = False
    """Whether the supervisor is gone, and the process has a short time left."""

    def request_stop(self) -> None:
        """Ask the process to stop. Safe in a signal handler and from any thread."""
        self.stopping = True
        self.nap.wake()
