"""The Debian package is upgraded under load, with tables to change, and jobs of every state."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.database.connection import OUTAGES
from jobsd.database.steps import latest_version
from neighbours import NEXT, make_next
from outages.ordeal import JOBS, Enqueuer, connect
from system.jobs import LEDGER
from waiting import wait_until

from .box import Box, why_not
from .package import build, later
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PATIENCE_S = 90.0
_SOCKET = "/run/outside"
_CLUSTER = "/var/lib/postgresql/of-the-test"
_OWN = {"jobsd": "/var/lib/jobsd", "jobsd@mail": "/var/lib/jobsd/mail"}
_RECURRING = "tick: {class: trial_jobs.tick, schedule: every second}\n"
_QUEUE = """
import: [trial_jobs]
workers: [{threads: 3, polling_interval: 0.2}]
dispatchers: [{polling_interval: 0.2, concurrency_maintenance_interval: 1}]
"""
_ENQUEUE = """
SELECT jobsd.enqueue(
    'trial_jobs.' || %s, to_jsonb(%s::float8[]), wait => %s, queue => %s, max_attempts => %s
)
"""
_WHERE = """
SELECT job.id, coalesce(job.outcome, place.state), job.attempts
FROM jobsd.jobs AS job LEFT JOIN jobsd.job_states AS place ON place.id = job.id
WHERE job.class_name LIKE 'trial\\_jobs.%' AND job.class_name <> 'trial_jobs.tick'
"""
_HELD = """
SELECT
    (SELECT count(*) FROM jobsd.ready_executions WHERE queue_name = 'paused'),
    (SELECT count(*) FROM jobsd.scheduled_executions WHERE scheduled_at > now() + '1 min'),
    (SELECT count(*) FROM jobsd.claimed_executions),
    (SELECT count(*) FROM jobsd.blocked_executions),
    (SELECT count(*) FROM jobsd.failed_executions),
    (SELECT count(*) FROM jobsd.recurring_executions)
"""
_OPEN = """
SELECT count(*) FROM jobsd.jobs
WHERE outcome IS NULL AND class_name LIKE 'trial\\_jobs.%'
    AND class_name <> 'trial_jobs.tick' AND queue_name <> 'paused'
    AND coalesce(scheduled_at, now()) < now() + interval '1 min'
    AND id NOT IN (SELECT job_id FROM jobsd.failed_executions)
"""
_TICKS_TWICE = """
SELECT run_at FROM jobsd.recurring_executions GROUP BY task_key, run_at HAVING count(*) > 1
"""
_ENDS = {"fails": ("failed", 1), "retried": ("finished", 2)}
_STAY = {"held": ("ready", 0), "later": ("scheduled", 0)}


class Machine:
    """A box with a PostgreSQL of Debian's, and the package as a service and as an instance."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.services = [Service(box, name) for name in _OWN]
        self.url = f"postgresql:///jobsd?host={box.shared}&user=jobsd"

    def serve(self) -> None:
        """Start the server, whose socket is seen from outside too."""
        self.box.run("chmod", "a+rwx", _SOCKET)
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        run = ("runuser", "-u", "postgres", "--")
        self.box.run(*run, f"{programs}/initdb", "-D", _CLUSTER, "--auth=trust", "--no-sync")
        options = f"-k {_SOCKET} -c listen_addresses= -c fsync=off"
        start = ("-o", options, "-l", f"{_CLUSTER}/log", "--wait", "start")
        self.box.run(*run, f"{programs}/pg_ctl", "-D", _CLUSTER, *start)
        self.box.run(*run, "createuser", "--host", _SOCKET, "jobsd")
        made = ("--owner=jobsd", "--encoding=UTF8", "--template=template0", "jobsd")
        self.box.run(*run, "createdb", "--host", _SOCKET, *made)

    def configure(self) -> None:
        """Give both the jobs to run."""
        within = f"DATABASE_URL=postgresql:///jobsd?host={_SOCKET}\n"
        for folder, place in zip(("", "/mail"), _OWN.values(), strict=True):
            self.box.run("install", "-d", "-o", "jobsd", "-g", "jobsd", place)
            self.box.write(f"{place}/trial_jobs.py", LEDGER + JOBS)
            self.box.write(f"/etc/jobsd{folder}/queue.yml", _QUEUE)
            self.box.write(f"/etc/jobsd{folder}/recurring.yml", _RECURRING)
            own = f"LEDGER={place}/ledger\n{'JOBSD_METRICS_BIND=off' if folder else within}\n"
            self.box.write(f"/etc/jobsd{folder}/env", own)

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Ask the database."""
        with connect(self.url) as connection:
            return list(connection.execute(text.encode()).fetchall())

    def count(self, text: str) -> int:
        """Return the one number that the database answers; -1 while it does not."""
        try:
            ((found,),) = self.query(text)
        except OUTAGES:
            return -1
        assert isinstance(found, int)
        return found

    def ran(self) -> list[str]:
        """Return the numbers of the jobs that have run to their ends, and their attempts."""
        text = self.box.ask("cat", *(f"{place}/ledger" for place in _OWN.values()))
        lines = (line.rsplit(" ", 2)[0] for line in text.splitlines())
        return [line for line in lines if line.startswith("ran ")]

    def reported(self) -> str:
        """Return what both have logged last."""
        return "\n".join(service.reported() for service in self.services)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """The package, installed and running, and the next one beside it."""
    if reason := why_not():
        pytest.skip(reason)
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL of Debian's is installed")
    package = build(tmp_path / "package")
    the_next = later(package, tmp_path, make_next)
    (tmp_path / "box").mkdir()
    box = Box(tmp_path / "box", {package: "/run/jobsd.deb", the_next: "/run/next.deb"})
    try:
        box.run("rm", "-f", "/usr/sbin/policy-rc.d")
        box.run("dpkg", "--install", "/run/jobsd.deb", within_s=PATIENCE_S)
        made = Machine(box)
        made.serve()
        made.configure()
        for service in made.services:
            service.control("start")
        yield made
    finally:
        box.end()


def _enqueue_of_every_state(machine: Machine) -> dict[int, str]:
    """Enqueue what is ready, scheduled and claimed when the upgrade comes; return the jobs."""
    machine.services[0].command("queues", "pause", "paused")
    kinds: list[tuple[str, str, list[float], str | None, str]]
    kinds = [("held", "plain", [], None, "paused"), ("later", "plain", [], "1 h", "default")]
    # More than fit; some end while their process drains, the others go back.
    kinds += [("long", "slow", [each], None, "default") for each in (3.0, 12.0)] * 4
    made: dict[int, str] = {}
    with connect(machine.url) as connection:
        for number, (kind, name, more, wait, queue) in enumerate(kinds, start=1):
            call = (name, [-float(number), *more], wait, queue, 1)
            ((job_id,),) = connection.execute(_ENQUEUE, call).fetchall()
            made[job_id] = kind
    return made


@pytest.mark.failure(
    "The Debian package is upgraded under load to one with tables to change: service and"
    " instance run, jobs are ready, scheduled, running, blocked, failed, recurring.",
    "No enqueue is refused, nothing is lost, no job finishes twice, no attempt is spent;"
    " waiting jobs keep waiting",
)
def test_an_upgrade_under_load_loses_nothing_and_refuses_nothing(machine: Machine) -> None:
    wait_until(lambda: machine.count("SELECT count(*) FROM jobsd.processes") > 8, PATIENCE_S)
    enqueuer = Enqueuer(machine.url, pause_s=0.1)
    promised = _enqueue_of_every_state(machine)
    wait_until(
        lambda: all(machine.query(_HELD)[0]), PATIENCE_S, lambda: str(machine.query(_HELD))
    )

    machine.box.run("dpkg", "--unpack", "/run/next.deb", within_s=PATIENCE_S)
    by_new_code = machine.services[0].command("enqueue", "trial_jobs.plain", "[-99]")
    tables = machine.count("SELECT max(version) FROM jobsd.schema_migrations")
    seen = len(enqueuer.committed)
    wait_until(lambda: len(enqueuer.committed) > seen + 10, PATIENCE_S)
    machine.box.run("dpkg", "--configure", "jobsd", within_s=PATIENCE_S)
    seen = len(enqueuer.committed)
    wait_until(lambda: len(enqueuer.committed) > seen + 50, PATIENCE_S, machine.reported)
    enqueuer.end()

    promised |= enqueuer.committed | {int(by_new_code): "plain"}
    wait_until(lambda: machine.count(_OPEN) == 0, PATIENCE_S, machine.reported)
    assert tables == latest_version()
    assert machine.count("SELECT max(version) FROM jobsd.schema_migrations") == NEXT
    assert enqueuer.doubts == 0, "an enqueue was refused, or its connection broke"
    _check(machine, promised)


def _check(machine: Machine, promised: dict[int, str]) -> None:
    found = {job: (state, attempts) for job, state, attempts in machine.query(_WHERE)}
    expected = {
        job: _STAY.get(kind, _ENDS.get(kind, ("finished", 1))) for job, kind in promised.items()
    }
    assert {job: found.get(job) for job in expected} == expected
    assert found.keys() == expected.keys()
    assert [line for line, times in Counter(machine.ran()).items() if times > 1] == []
    assert machine.query(_TICKS_TWICE) == []
