"""The service in a virtual machine: limits of memory and processes, and the machine's clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

from .machine import Machine, why_not
from .service import Service, binds

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

WITHIN_S = 200.0
"""The processor there is emulated."""
JOBS = '''
"""What the service runs in the machine."""
import subprocess, time
from pathlib import Path
from jobsd import job

@job
def leave(name):
    Path(name).touch()

@job
def eat():
    eaten = [bytearray(8 << 20) for _ in range(1000)]

@job
def fork_without_end():
    """Start programs until there are no more to be had, then leave room for a few."""
    started = []
    try:
        while True:
            started.append(subprocess.Popen(["sleep", "3000"]))
    except OSError:
        for each in started[-10:]:
            each.kill()
            each.wait()
    Path("refused").touch()
    time.sleep(3000)
'''


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A virtual machine that knows the shipped units."""
    if reason := why_not():
        pytest.skip(reason)
    made = Machine(tmp_path_factory.mktemp("machine"), binds())
    try:
        Service(made).install()
        made.write("/var/lib/jobsd/machine_jobs.py", JOBS)
        yield made
    finally:
        made.end()


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """The service, stopped, with no jobs and none of the files that they have left."""
    made = Service(machine)
    made.begin()
    machine.run("sh", "-c", "cd /var/lib/jobsd && rm -rf ran-* refused storage")
    yield made
    made.control("stop")


def _start(service: Service, drop_in: str = "") -> int:
    service.configure(drop_in=drop_in, JOBSD_EMBEDDED="1")
    service.box.write("/etc/jobsd/queue.yml", "import: [machine_jobs]\n")
    service.control("start")
    return service.pid


def _runs(service: Service, name: str) -> None:
    """Wait until a job has run that is enqueued now."""
    service.command("enqueue", "machine_jobs.leave", f'["ran-{name}"]')
    wait_until(lambda: service.exists(f"ran-{name}"), WITHIN_S, service.reported)


@pytest.mark.failure(
    "Under systemd: a job takes all memory that the unit may have (MemoryMax).",
    "The kernel kills the worker, which is reported as `oom` and replaced; the unit"
    " continues (OOMPolicy=continue).",
)
def test_a_worker_that_memory_kills_is_no_reason_to_end_the_service(service: Service) -> None:
    pid = _start(service, "[Service]\nMemoryMax=500M\nMemorySwapMax=0\n")

    service.command("enqueue", "machine_jobs.eat")

    wait_until(lambda: service.events("process.replaced"), WITHIN_S, service.reported)
    _runs(service, "after-memory")
    # A worker above all. When it is slow to die the kernel takes another, but no database.
    replaced = {event["predecessor_pid"]: event for event in service.events("process.replaced")}
    first, *others = _taken_for_memory(service)
    assert replaced[first]["kind"] == "worker"
    assert {replaced[pid]["reason"] for pid in (first, *others)} == {"oom"}
    assert service.show("ActiveState", "MainPID", "NRestarts") == ["active", str(pid), "0"]


def _taken_for_memory(service: Service) -> list[int]:
    """Return the processes that the machine's kernel has ended, in order."""
    return [int(pid) for pid in re.findall(r"Killed process (\d+)", service.box.ask("dmesg"))]


@pytest.mark.failure(
    "Under systemd: a job starts processes until there are no more to be had (TasksMax).",
    "The limit stops it; other jobs continue, and a stop leaves no process.",
)
def test_a_job_that_forks_without_end_meets_the_limit_of_the_unit(service: Service) -> None:
    pid = _start(service, "[Service]\nTasksMax=70\n")

    service.command("enqueue", "machine_jobs.fork_without_end")

    wait_until(lambda: service.exists("refused"), WITHIN_S, service.reported)
    _runs(service, "beside-forks")
    assert service.show("ActiveState", "MainPID", "NRestarts") == ["active", str(pid), "0"]
    service.control("stop")
    assert service.show("Result") == ["success"]
    assert service.box.ask("pgrep", "-x", "sleep") == ""


@pytest.mark.failure(
    "Under systemd: the machine's clock is set two hours ahead, then six back.",
    "No process is judged or replaced, not even by the watchdog; jobs run on.",
)
def test_setting_the_clock_of_the_machine_changes_nothing(service: Service) -> None:
    pid = _start(service)
    _runs(service, "before")

    for number, jump in enumerate(("+2 hours", "-6 hours")):
        service.box.run("date", "--set", f"now {jump}")
        _runs(service, f"after-{number}")

    assert service.show("ActiveState", "MainPID", "NRestarts") == ["active", str(pid), "0"]
    for event in ("process.hung", "process.exited", "process.replaced", "database.unavailable"):
        assert service.events(event) == []
