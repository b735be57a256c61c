"""jobsd: its own tree as shipped (P workers of T threads), its public calls to enqueue."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from adapter import main, note, note_on_loop, on_loop, url

import jobsd
from jobsd import job
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate

_QUEUE = """\
import: [for_jobsd]
workers:
  - {{queues: default, {sort}: {threads}, processes: {processes}}}
"""


@job(name="noop")
def noop(number: int) -> None:
    """Note that it has begun."""
    note(number)


@job(name="noop-on-loop")
async def noop_on_loop(number: int) -> None:
    """Note that it has begun, on the loop."""
    await note_on_loop(number)


def setup() -> None:
    """Make the tables."""
    migrate(Target(url()))


@contextlib.contextmanager
def client() -> Iterator[object]:
    """Give the calls that enqueue one and many."""
    jobsd.configure(url())
    used = noop_on_loop if on_loop() else noop
    yield (
        used.enqueue,
        lambda numbers: jobsd.enqueue_many(used.with_args(number) for number in numbers),
    )


def work(processes: int, threads: int) -> None:
    """Become the tree."""
    config = Path("config")
    config.mkdir(exist_ok=True)
    sort = "coroutines" if on_loop() else "threads"
    text = _QUEUE.format(processes=processes, threads=threads, sort=sort)
    (config / "queue.yml").write_text(text, encoding="utf-8")
    (config / "recurring.yml").write_text("{}\n", encoding="utf-8")
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith("JOBSD_")},
        "PYTHONPATH": str(Path(__file__).parent),
        "JOBSD_METRICS_BIND": "127.0.0.1:0",
    }
    command = [sys.executable, "-P", "-m", "jobsd.daemon", "start"]
    os.execve(sys.executable, command, environ)


if __name__ == "__main__":
    main(setup, client, work)
