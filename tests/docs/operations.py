"""A project with all that an operations guide of Solid Queue shows, and its tree."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from harness.project import Project
from harness.tree import COMMAND, Tree
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

JOBS = """
from jobsd import Job, job

class DailyCleanupJob(Job):
    queue = "default"

    def perform(self):
        print("cleaned up")

@job
def report(first, second):
    print(first, second)
"""
QUEUE_FILE = """
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
OWN = "production:\n  logs: {file: log/production.log, format: console}\n"
FORMAT = """
environment:
  job_name:
    class: guide_jobs.report   # OR
    queue: queue_name          # Optional
    priority: 1                # Optional
    args: [arg1, arg2]         # Optional
    schedule: every 5 minutes  # Cron-style schedule
"""
RECURRING_FILE = """
default:
  heartbeat:
    class: HeartbeatJob
    schedule: every 5 minutes
    run_at_start: true
  clear_finished:
    command: "SolidQueue::Job.clear_finished_in_batches"
    schedule: every hour at minute 12
production:
  daily_cleanup:
    class: DailyCleanupJob
    schedule: at 3am every day
"""
# Commands one after the other in one process: a process for each would take a minute.
COMMANDS = """
import contextlib, io, json, sys
from jobsd.daemon.cli import cli
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.run(json.loads(line))
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it has printed as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """What it has printed, line by line."""
        return self.out.splitlines()


@dataclass(eq=False)
class Guide:
    """The project, its tree, and whoever answers for its commands."""

    project: Project
    tree: Tree
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self._commands = subprocess.Popen(
            [sys.executable, "-P", "-c", COMMANDS],
            cwd=self.project.root,
            env=self.project.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def jobs(self, *words: str) -> Answer:
        """Run `bin/jobs` with these words."""
        given, answers = self._commands.stdin, self._commands.stdout
        assert given is not None
        assert answers is not None
        given.write(f"{json.dumps(words)}\n")
        given.flush()
        return Answer(*json.loads(answers.readline()))

    def shell(self, line: str) -> Answer:
        """Run a line in a shell, in the project's folder."""
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.project.root,
            env=self.project.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ask(self, snippets: Iterable[str]) -> None:
        """Let the console say what each of these comes to; `values` has it then."""
        asked = "".join(f"found[{each!r}] = {each}\n" for each in snippets)
        program = f"import json\nfound = {{}}\n{asked}print(json.dumps(found, default=repr))\n"
        done = subprocess.run(
            [*COMMAND, "console"],
            cwd=self.project.root,
            env=self.project.environ,
            input=program,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        self.values |= cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))

    @property
    def log(self) -> str:
        """What the log file holds."""
        return (self.project.root / "log/production.log").read_text(encoding="utf-8")

    def close(self) -> None:
        """End what answers for the commands."""
        self._commands.communicate(timeout=20)


@contextlib.contextmanager
def running_guide(root: Path, url: str) -> Generator[Guide]:
    """Start the tree of the guide, and wait for its first heartbeat."""
    project = Project(root, url, JOBSD_ENV="production", JOBSD_IMPORT="guide_jobs")
    project.write("guide_jobs.py", JOBS)
    project.write("config/queue.yml", QUEUE_FILE + OWN)
    project.write("config/recurring.yml", RECURRING_FILE + FORMAT)
    shim = project.write("bin/jobs", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    shim.chmod(0o755)
    with project.start("--log-format", "console") as tree:
        log = root / "log/production.log"
        wait_until(lambda: log.exists() and "[HEARTBEAT]" in log.read_text(), 40, tree.reported)
        guide = Guide(project, tree)
        try:
            yield guide
        finally:
            guide.close()
