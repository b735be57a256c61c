"""Hosts are deployed one after the other: old and new program, older and newer tables."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from harness.project import Project
from jobsd.database.grants import grants
from neighbours import NEXT, OURS, make_next_program
from outages.ordeal import connect
from system.jobs import LEDGER, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from hosts.network import Host, HostTree, Network

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

_JOBS = """
from jobsd import job

@job
def quick(n):
    ledger("ran", n)
    relayed.enqueue(n)  # by the program of this host

@job
def relayed(n):
    ledger("relayed", n)

@job
def tick():
    ledger("tick")
"""
_QUEUE = """
import: [trial_jobs]
workers: [{threads: 2, polling_interval: 0.2}]
dispatchers: [{polling_interval: 0.2}]
supervisor: {shutdown_timeout: 10}
"""
_RECURRING = "tick: {class: trial_jobs.tick, schedule: every second}\n"
_ENDED = """
SELECT coalesce(outcome, 'open') AS outcome, attempts, count(*)
FROM jobsd.jobs
-- A tick that comes while the last tree stops waits for the next one.
WHERE class_name <> 'trial_jobs.tick' OR outcome IS NOT NULL OR attempts <> 0
GROUP BY 1, 2 ORDER BY 1, 2
"""
_OPEN = """
SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL AND class_name <> 'trial_jobs.tick'
"""
_ATTEMPTS = "SELECT count(*) FROM jobsd.attempts"
_PLANNED_TWICE = """
SELECT run_at FROM jobsd.recurring_executions GROUP BY task_key, run_at HAVING count(*) > 1
"""


class Enqueuer:
    """A program that knows SQL only: it enqueues all the time, and no call may be refused."""

    def __init__(self, url: str) -> None:
        self.count = 0
        self.refused: list[str] = []
        self._over = threading.Event()
        self._url = url
        self._thread = threading.Thread(target=self._run, name="enqueuer", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Enqueue no more."""
        self._over.set()
        self._thread.join(20)

    def _run(self) -> None:
        with connect(self._url) as connection:
            while not self._over.wait(0.05):
                try:
                    connection.execute(
                        "SELECT jobsd.enqueue('trial_jobs.quick', to_jsonb(ARRAY[%s::int]))",
                        (self.count,),
                    )
                    self.count += 1
                except psycopg.Error as error:
                    self.refused.append(str(error))


class Fleet:
    """Hosts that all take from one queue, and the programs that they run."""

    def __init__(self, hosts: list[Host], project: Project, the_next: str) -> None:
        self.hosts = hosts
        self.project = project
        self.next_program = the_next
        self.log: list[str] = []
        self._stacks = [contextlib.ExitStack() for _ in hosts]
        self._trees: list[HostTree | None] = [None for _ in hosts]

    def deploy(self, program: str) -> None:
        """Replace the program on one host after the other; each stops in order."""
        for number, host in enumerate(self.hosts):
            self._stop(number)
            tree = self._stacks[number].enter_context(
                host.start(self.project, PYTHONPATH=program)
            )
            tree.wait_event("supervisor.ready", within_s=60)
            self._trees[number] = tree

    def end(self) -> None:
        """Stop all."""
        for number in range(len(self.hosts)):
            self._stop(number)

    def _stop(self, number: int) -> None:
        tree = self._trees[number]
        if tree is None:
            return
        supervisor = psutil.Process(tree.process.pid).children()[0]
        supervisor.send_signal(signal.SIGTERM)
        tree.process.wait(60)
        self.log += [str(each.get("event")) for each in tree.events()]
        self._trees[number] = None
        self._stacks[number].close()


@contextlib.contextmanager
def _fleet(net: Network, root: Path, number: int) -> Generator[Fleet]:
    """So many hosts, whose role may not change the tables."""
    url = net.url.replace("//jobsd@", "//app@")
    project = Project(root, url, LEDGER=str(root / "ledger"))
    project.write("trial_jobs.py", LEDGER + _JOBS)
    project.write("config/queue.yml", _QUEUE)
    project.write("config/recurring.yml", _RECURRING)
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(net.host(f"host{n}")) for n in range(number)]
        made = Fleet(hosts, project, make_next_program(root / "next"))
        stack.callback(made.end)
        yield made


@pytest.fixture
def granted(query: Query) -> Generator[Query]:
    """Ask the database, in which the role of the hosts may do no more than it needs."""
    query("DROP ROLE IF EXISTS app")
    query("CREATE ROLE app LOGIN")
    query(grants("jobsd", "app"))
    yield query
    query("DROP OWNED BY app")
    query("DROP ROLE app")


def _migrate(net: Network, fleet: Fleet) -> None:
    """Do what whoever owns the tables does, with the next program."""
    url = net.database.socket_url
    done = fleet.project.run("db", "migrate", DATABASE_URL=url, PYTHONPATH=fleet.next_program)
    assert (done.returncode, done.stdout) == (0, f"{NEXT:04d}_the_next\n"), done.stderr


@pytest.mark.failure(
    "Two hosts (in a long test: five) get the next program one after the other, under load, and"
    " then the old one again; the tables are migrated before, or between, by their owner.",
    "No enqueue is refused, no attempt is spent, nothing is lost and nothing runs twice.",
)
@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        (2, "programs"),
        pytest.param(2, "tables", marks=pytest.mark.long),
        pytest.param(5, "programs", marks=pytest.mark.long, id="5-programs-minutes"),
        pytest.param(5, "tables", marks=pytest.mark.long, id="5-tables-minutes"),
    ],
)
@pytest.mark.timeout(400)
def test_no_deploy_is_noticed_by_any_job(
    net: Network, granted: Query, tmp_path: Path, hosts: int, first: str
) -> None:
    query = granted
    with _fleet(net, tmp_path, hosts) as fleet:
        fleet.deploy("")
        enqueuer = Enqueuer(net.database.socket_url)
        wait_until(lambda: len(ledger(fleet.project)) > 20)

        if first == "tables":
            _migrate(net, fleet)
            fleet.deploy(fleet.next_program)
        else:
            fleet.deploy(fleet.next_program)
            assert query("SELECT max(version) FROM jobsd.schema_migrations") == [(OURS,)]
            _migrate(net, fleet)
        _all_run(fleet, enqueuer)
        fleet.deploy("")
        _all_run(fleet, enqueuer)

        enqueuer.end()
        wait_until(lambda: _open(query) == 0, 60, lambda: str(query(_ENDED)))
        fleet.end()

    assert enqueuer.refused == []
    lines = ledger(fleet.project)
    assert sum(line.startswith("relayed") for line in lines) == enqueuer.count
    doubles = [line for line, n in Counter(lines).items() if n > 1 and line != "tick"]
    assert doubles == []
    assert {row[:2] for row in query(_ENDED)} == {("finished", 1)}
    assert query(_ATTEMPTS) == [(0,)]
    assert query(_PLANNED_TWICE) == []
    assert {"process.exited", "claims.lost"} & set(fleet.log) == set()


def _all_run(fleet: Fleet, enqueuer: Enqueuer) -> None:
    """Wait until a job ran that is enqueued from now on."""
    last = enqueuer.count + 5
    wait_until(lambda: f"relayed {last}" in ledger(fleet.project), 30)


def _open(query: Query) -> int:
    ((count,),) = query(_OPEN)
    return int(str(count))
