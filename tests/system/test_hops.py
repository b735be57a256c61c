"""The ways that docs/explanation describes are those that a job and a death take."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from harness.tree import Tree
from jobsd import job
from jobsd.configuration.options import JobsOptions, WorkerOptions
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.processes import process
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.worker.worker import Worker
from system import hops
from system.jobs import enqueue, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from harness.project import Project
    from jobsd.database.connection import Session, Target
    from system.hops import Call, Page

    Query = Callable[[str], list[tuple[object, ...]]]

HOPS_MAX = {"life-of-a-job.md": 13, "crashes.md": 14}
JOB, DEATH = "life-of-a-job.md", "crashes.md"


@job
def passes() -> None:
    return


@pytest.mark.parametrize("name", [JOB, DEATH])
def test_a_path_is_short_and_its_page_states_its_number_of_hops(name: str) -> None:
    page = hops.read(name)
    said = re.search(r"These are (\d+) hops today", page.text)

    assert said is not None
    assert int(said[1]) == len(page.hops) <= HOPS_MAX[name]
    assert page.loops


def test_a_job_passes_the_hops_of_its_page(target: Target, session: Session) -> None:
    page = hops.read(JOB)
    client.configure(client=Client(target))
    calls: list[Call] = []

    with _profiled(page, calls):
        passes.enqueue()
        with _worker(target):
            wait_until(lambda: not _wrong(page, calls), what=lambda: _wrong(page, calls))

    assert session.connection.execute("SELECT outcome FROM jobsd.jobs").fetchall() == [
        ("finished",)
    ]


@pytest.mark.system
def test_a_death_passes_the_hops_of_its_page(project: Project, query: Query) -> None:
    page = hops.read(DEATH)
    record = project.root / "calls"
    command = [sys.executable, "-P", hops.__file__, DEATH, str(record), "start"]
    tree = Tree(command, project.root, project.environ)
    try:
        tree.wait_event("supervisor.ready", within_s=60)
        enqueue(query, "slow")
        wait_until(lambda: ledger(project) == ["start slow"])
        (worker,) = tree.children("worker")
        before = len(hops.load(record))

        def wrong() -> str:
            return _wrong(page, hops.load(record), before)

        worker.kill()

        wait_until(lambda: not wrong(), what=wrong)
        assert query("SELECT count(*) FROM jobsd.failed_executions") == [(1,)]
    finally:
        tree.end()


def _wrong(page: Page, calls: list[Call], start: int = 0) -> str:
    return "\n".join(hops.follow(page, list(calls), start))


@contextmanager
def _profiled(page: Page, calls: list[Call]) -> Generator[None]:
    """Write down what this thread calls, and each that is started meanwhile."""
    note, before = hops.profile(page, calls.append), sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # pyright: ignore[reportArgumentType]


@contextmanager
def _worker(target: Target) -> Generator[None]:
    """A worker whose control thread is started now."""
    scoreboard = Scoreboard()
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("worker", "worker-hops")
    context = Context(scoreboard, entry, entry.name)
    worker = Worker(context, target, WorkerOptions(threads=1), JobsOptions())
    control = threading.Thread(target=process.run, args=(worker, context))
    control.start()
    try:
        yield
    finally:
        context.request_stop()
        control.join(10)
