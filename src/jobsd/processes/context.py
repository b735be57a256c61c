"""The context that the supervisor passes to a process that it starts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobsd.logs.pipes import Pipes
from jobsd.scoreboard.scoreboard import Scoreboard, ScoreboardEntry

from .nap import Nap


@dataclass(slots=True)
class Context:
    """The scoreboard of the tree, the process's own entry, its nap and its state."""

    scoreboard: Scoreboard
    entry: ScoreboardEntry
    name: str
    lifeline: int | None = None
    """Readable, at its end, once the supervisor is gone."""
    pipes: Pipes = field(default_factory=Pipes)
    """The pipes for the output of the user's modules to stdout and stderr."""
    nap: Nap = field(default_factory=Nap)
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """The metadata in the process's row, once it has registered."""
    journals: Path | None = None
    """The folder of this host's journals, which keep outcomes beyond the life of the tree."""
    stopping: bool = False
    quiet: bool = False
    """Whether an operator has asked it to take no new work: a worker then claims no job."""
    orphaned: bool = False
    """Whether the supervisor is gone, so that the process has little time left."""

    def request_stop(self) -> None:
        """Ask the process to stop. Safe in a signal handler and from any thread."""
        self.stopping = True
        self.nap.wake()
