"""What a chaos run happens on: a database, and two trees that share it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from chaos.watch import Watch, children, title
from conftest import drop_database, make_database
from harness.project import Project
from harness.tree import COMMAND, Tree
from jobsd.database.connection import Target
from jobsd.database.deadline import open_connection
from jobsd.database.migrate import migrate
from outages.cluster import Cluster, cluster

if TYPE_CHECKING:
    from collections.abc import Generator

TESTS = Path(__file__).parents[1]
DEADLINE_S = 5.0

QUEUE = """
import: [%(modules)s]
workers:
  - {threads: 3, max_jobs: 250}
  - {coroutines: 6, max_jobs: 250}
  - {processes: 1, threads: 2, queues: "odd*, default", prefetch: 0}
dispatchers: [{concurrency_maintenance_interval: 1}]
jobs:
  default_concurrency_control_period: 1
  preserve_finished_jobs: %(keeps)s
  unknown_class_after: 10m
  keep_log: 4KB
monitor: {bind: null}
supervisor:
  shutdown_timeout: 1.5
  heartbeat_interval: 0.5
  process_alive_threshold: %(threshold_s)s
"""
RECURRING = "tick: {class: chaos.tick, schedule: every second}\n"


@dataclass(slots=True)
class Database:
    """The database; with a server of our own, that can be ill-treated too."""

    url: str
    own: Cluster | None = None

    def ask(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Ask it, by a connection for this alone; a server that stands still is an error."""
        with open_connection(self.url, "chaos", DEADLINE_S) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def backends(self) -> list[int]:
        """Return the server's processes that serve the trees and the enqueuers."""
        rows = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND application_name <> 'chaos' ORDER BY pid"
        )
        return [row[0] for row in rows]


@contextlib.contextmanager
def database(given_url: str | None) -> Generator[Database]:
    """A database with our tables and the audit: on a server of our own, or on a given one."""
    with contextlib.ExitStack() as stack:
        if given_url is None:
            own = stack.enter_context(cluster(max_connections="200"))
            made = Database(own.start_with_tables().url, own)
        else:
            url, name = make_database(given_url)
            stack.callback(drop_database, given_url, name)
            migrate(Target(url))
            made = Database(url)
        audit = files("chaos").joinpath("audit.sql").read_text(encoding="utf-8")
        with psycopg.connect(made.url, autocommit=True) as connection:
            connection.execute(audit.encode())
        yield made


@dataclass(slots=True)
class Place:
    """Where one tree stands, and after its end the next one."""

    name: str
    project: Project
    watch: Watch
    generation: int = 0
    trees: list[Tree] = field(default_factory=list[Tree])

    @property
    def tree(self) -> Tree:
        """The newest tree."""
        return self.trees[-1]

    @property
    def label(self) -> str:
        """What the newest tree is called: place and generation."""
        return f"{self.name}{self.generation}"

    @property
    def lives(self) -> bool:
        """Whether there is a supervisor."""
        return bool(self.trees) and self.tree.process.poll() is None

    def start(self) -> None:
        """Start a tree here."""
        self.generation += 1
        project = self.project
        self.trees.append(Tree([*COMMAND, "start"], project.root, project.environ))
        self.watch.add(self.label, self.tree.process.pid)

    def pids(self, kind: str) -> list[int]:
        """Return the processes of one kind, by their titles."""
        if kind == "supervisor":
            return [self.tree.process.pid] if self.lives else []
        found = children(self.tree.process.pid)
        return sorted(pid for pid in found if title(pid).startswith(f"jobsd {kind}"))

    def everybody(self) -> list[int]:
        """Return the supervisor and all its children."""
        pid = self.tree.process.pid
        return [pid, *children(pid)] if self.lives else []


def place(name: str, root: Path, url: str, watch: Watch, threshold_s: float) -> Place:
    """Make the folder of a tree."""
    home = root / name
    home.mkdir()
    ledger = str(root / "ledger")
    # The trees differ: one is of a newer deploy, with jobs that the other does not know, has a
    # process for hooks, and keeps no finished jobs.
    both = "chaos.jobs, chaos.bounded_jobs, chaos.asked_jobs"
    settings = {
        "modules": f"{both}, chaos.novel_jobs, chaos.hooks" if name == "b" else both,
        "keeps": "false" if name == "b" else "true",
        "threshold_s": threshold_s,
    }
    paths = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    made = Project(home, url, CHAOS_LEDGER=ledger, PYTHONPATH=paths)
    made.write("config/queue.yml", QUEUE % settings)
    made.write("config/recurring.yml", RECURRING)
    return Place(name, made, watch)
