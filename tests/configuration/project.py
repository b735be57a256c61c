"""A project's folder with the two files, read as the commands read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.faults import render
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.configuration.options import Options, WorkerOptions
    from jobsd.errors import Fault
    from jobsd.recurring.definition import TaskDefinition

NO_FLAGS = Flags()

SEED = """\
default:
  dispatchers:
    - polling_interval: 1
      batch_size: 500
  workers:
    - queues: "*"
      threads: 3
      processes: <%= ENV.fetch("JOB_CONCURRENCY", 1) %>
      polling_interval: 0.1
"""


@dataclass
class Project:
    """A folder below `root`; `environ` is the whole environment."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])

    def queue(self, text: str) -> None:
        self.write("config/queue.yml", dedent(text))

    def recurring(self, text: str) -> None:
        self.write("config/recurring.yml", dedent(text))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def load(self, flags: Flags = NO_FLAGS) -> Options:
        return load(self.root, self.environ, flags)

    def worker(self, text: str) -> WorkerOptions:
        """Load a file whose only worker is the mapping in `text`."""
        self.queue(f"workers: [{{{text}}}]\n")
        (worker,) = self.load().workers
        return worker

    def task(self, text: str) -> TaskDefinition:
        """Load a file whose only task is the mapping in `text`."""
        self.recurring(f"task: {{{text}}}\n")
        (task,) = self.load().tasks
        return task

    def faults(self, flags: Flags = NO_FLAGS) -> tuple[Fault, ...]:
        """Load what can't be loaded."""
        with pytest.raises(ConfigurationError) as refused:
            self.load(flags)
        return refused.value.faults

    def fault(self, flags: Flags = NO_FLAGS) -> Fault:
        """Load what has one fault."""
        (fault,) = self.faults(flags)
        return fault

    def shown(self, flags: Flags = NO_FLAGS) -> str:
        """Return the one fault as it is shown."""
        return render(self.fault(flags))
