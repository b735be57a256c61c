"""Jobs of a project under test: stored at once, and what they have written themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

LEDGER = '''
"""Each job writes to a ledger outside the database, which all hosts may share."""
import os, socket, time

def ledger(*words):
    line = " ".join(map(str, (*words, socket.gethostname(), time.time()))) + "\\n"
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, line.encode())
    os.close(fd)

def wait_until_let_go():
    while not os.path.exists(os.environ["LEDGER"] + ".go"):
        time.sleep(0.01)
'''
"""How the module of a project under test begins."""


def enqueue(query: Query, name: str, *arguments: object, queue: str = "default") -> int:
    """Store a job of the project and wake the workers; return its id."""
    return enqueue_many(query, name, [arguments], queue=queue)[0]


def enqueue_many(
    query: Query, name: str, calls: list[tuple[object, ...]], *, queue: str = "default"
) -> list[int]:
    """Store jobs in one transaction, so that one claim may take all; return their ids."""
    texts = ", ".join(f"'{json.dumps(call)}'::jsonb" for call in calls)
    rows = query(
        f"SELECT jobsd.enqueue('trial_jobs.{name}', arguments, '{queue}')"
        f" FROM unnest(ARRAY[{texts}]) AS arguments"
    )
    return [int(str(row[0])) for row in rows]


def let_go(project: Project) -> None:
    """Let the jobs end that run until this is called, however late a test may be."""
    (project.root / "ledger.go").touch()


def ledger(project: Project) -> list[str]:
    """Return what the jobs have written, without hosts and times."""
    path = project.root / "ledger"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [" ".join(line.split()[:-2]) for line in lines]


def ledger_times(project: Project) -> dict[str, list[float]]:
    """Return the lines that `ledger` returns, and when each was written."""
    found: dict[str, list[float]] = {}
    for line in (project.root / "ledger").read_text(encoding="utf-8").splitlines():
        *words, _, written_at = line.split()
        found.setdefault(" ".join(words), []).append(float(written_at))
    return found
