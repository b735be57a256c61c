"""The whole tree, started as an operator starts it, in a project of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

from .meter import children

if TYPE_CHECKING:
    from collections.abc import Generator

    from .server import Database

_ROOT = Path(__file__).resolve().parents[1]
_QUEUE = "import: [benchmarks.jobs]\ndispatchers: [{}]\nworkers: [{processes: %s}]\n"
_RECURRING = "yearly: {class: noop, args: [0], schedule: every year}\n"
_PATIENCE_S = 30.0
_POLL_S = 0.05


class Tree:
    """A supervisor and all processes that it has started."""

    def __init__(self, supervisor: subprocess.Popen[bytes]) -> None:
        self._supervisor = supervisor

    def pids(self) -> list[int]:
        """Return the processes of the tree."""
        return [self._supervisor.pid, *children(self._supervisor.pid)]

    def pss_mib(self) -> float:
        """Return the memory that they use; shared memory counts once."""
        return sum(map(pss_mib, self.pids()))


@contextlib.contextmanager
def running(
    database: Database, *, recurring: bool = False, workers: int = 1
) -> Generator[Tree]:
    """Run an idle tree with the shipped settings; with a scheduler if `recurring`."""
    with tempfile.TemporaryDirectory(prefix="jobsd-benchmarks-") as folder:
        config = Path(folder) / "config"
        config.mkdir()
        (config / "queue.yml").write_text(_QUEUE % workers, encoding="utf-8")
        if recurring:
            (config / "recurring.yml").write_text(_RECURRING, encoding="utf-8")
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobsd.daemon", "start"],
            cwd=folder,
            env=environment(database, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _await_rest(database, supervisor)
            yield Tree(supervisor)
        finally:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(_PATIENCE_S)


def pss_mib(pid: int) -> float:
    """Return the memory of a process, with its part of the memory that it shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def environment(database: Database, folder: str) -> dict[str, str]:
    """Return the environment of a tree in this folder, on this database."""
    kept = {key: value for key, value in os.environ.items() if not _is_setting(key)}
    return {
        **kept,
        "DATABASE_URL": database.url,
        "JOBSD_HOME": folder,
        # With HTTP as shipped, on any port: several trees run beside each other.
        "JOBSD_METRICS_BIND": "127.0.0.1:0",
        "JOBSD_LOG_FORMAT": "json",
        "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(_ROOT)))),
    }


def _is_setting(name: str) -> bool:
    return name.startswith("JOBSD_") and not name.startswith("JOBSD_BENCHMARKS_")


def _await_rest(database: Database, supervisor: subprocess.Popen[bytes]) -> None:
    """Wait until the worker has registered as idle."""
    end = monotonic() + _PATIENCE_S
    with database.connect() as connection:
        asleep = b"SELECT FROM jobsd.sleepers WHERE kind = 'worker'"
        while not connection.execute(asleep).fetchall():
            if supervisor.poll() is not None or monotonic() > end:
                raise ChildProcessError("the tree has not come up")
            time.sleep(_POLL_S)
