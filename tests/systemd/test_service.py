"""The service under a real systemd: its start, its deaths, its reload, its stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from waiting import wait_until

from .service import Service

if TYPE_CHECKING:
    from .box import Box

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
RESTARTS_QUICKLY = "[Service]\nRestartSec=50ms\n"


def test_a_start_returns_when_the_tree_is_up(service: Service) -> None:
    service.box.write("/var/lib/jobsd/slow_import.py", "import time\ntime.sleep(0.5)\n")
    service.box.write("/etc/jobsd/queue.yml", "import: [slow_import]\n")

    service.control("start")

    assert service.show("ActiveState", "SubState") == ["active", "running"]
    # Told just after systemd was.
    (ready,) = wait_until(lambda: service.events("supervisor.ready"), what=service.reported)
    assert ready["processes"] == 3


def test_the_status_shows_the_state_of_the_tree(service: Service) -> None:
    service.control("start")

    wait_until(
        lambda: service.show("StatusText") == ["3 processes up, waiting for the database"],
        what=service.status(),
    )


@pytest.mark.failure(
    "Under systemd: the main process is killed.",
    "The unit restarts with a whole tree; no process of the old one is left.",
)
def test_a_killed_supervisor_is_replaced_with_its_whole_tree(service: Service) -> None:
    service.configure(drop_in=RESTARTS_QUICKLY, DATABASE_URL=NOWHERE)
    service.control("start")
    pid = service.pid
    tree = _processes(service)

    service.signal("KILL", pid)

    service.wait_successor(pid)
    assert service.show("NRestarts") == ["1"]
    assert not tree & _processes(service)


@pytest.mark.failure(
    "Under systemd: a worker is killed.",
    "The service continues; the supervisor replaces the worker.",
)
def test_a_killed_worker_does_not_end_the_service(service: Service) -> None:
    service.control("start")
    pid = service.pid
    started = service.events("process.started")
    (worker,) = (each["pid"] for each in started if each["process_kind"] == "worker")

    service.signal("KILL", worker)

    (replaced,) = wait_until(lambda: service.events("process.replaced"), what="a new worker")
    assert replaced["kind"] == "worker"
    assert service.show("ActiveState", "MainPID") == ["active", str(pid)]


@pytest.mark.failure(
    "Under systemd: the supervisor stands still (SIGSTOP).",
    "The watchdog ends it and the unit restarts.",
)
def test_a_supervisor_that_stands_still_is_ended_by_the_watchdog(service: Service) -> None:
    quick = f"{RESTARTS_QUICKLY}WatchdogSec=1s\n"
    service.configure(drop_in=quick, DATABASE_URL=NOWHERE)
    service.control("start")
    pid = service.pid

    service.signal("STOP", pid)

    service.wait_successor(pid)
    reported = service.reported()
    assert "Watchdog timeout" in reported
    assert "Fatal Python error: Aborted" in reported


def test_the_watchdog_leaves_a_living_supervisor_alone(service: Service) -> None:
    service.configure(drop_in="[Service]\nWatchdogSec=2s\n", DATABASE_URL=NOWHERE)
    service.control("start")
    pid = service.pid
    began = monotonic()

    wait_until(lambda: monotonic() - began > 5, what="twice the watchdog's patience, and more")

    assert service.show("NRestarts", "MainPID") == ["0", str(pid)]


def test_a_reload_replaces_every_process_but_the_supervisor(service: Service) -> None:
    service.control("start")
    pid = service.pid
    before = _processes(service)

    service.control("reload")

    # It was waited for.
    assert len(service.events("supervisor.reloaded")) == 1
    assert before & _processes(service) == {pid}
    service.wait_state("active", "running")


@pytest.mark.failure(
    "Under systemd: a reload meets a faulty configuration.",
    "`systemctl reload` fails and the journal has every fault; every process stays, and the "
    "next reload that is good is done.",
)
def test_a_refused_reload_leaves_the_service_as_it_was(service: Service) -> None:
    service.configure(DATABASE_URL=NOWHERE)
    service.control("start")
    before = _processes(service)
    service.box.write("/etc/jobsd/queue.yml", "wrokers: []\n")

    service.control("reload", succeeds=False)

    assert len(service.events("supervisor.reload_failed")) == 1
    assert 'error: unknown key "wrokers"' in service.reported()
    assert _processes(service) == before
    service.wait_state("active", "running")
    service.configure(DATABASE_URL=NOWHERE)
    service.control("reload")
    assert len(service.events("supervisor.reloaded")) == 1
    assert service.show("ActiveState", "MainPID") == ["active", str(service.pid)]
    assert not before & _processes(service) - {service.pid}


@pytest.mark.failure(
    "Under systemd: jobs drain for longer than `TimeoutStopSec`.",
    "The supervisor asks for more time, and gets it.",
)
def test_a_drain_that_takes_longer_than_the_unit_allows_is_waited_for(
    service: Service,
) -> None:
    service.configure(
        queue="supervisor: {shutdown_timeout: 30}\n",
        drop_in="[Service]\nTimeoutStopSec=300ms\n",
        JOBSD_EMBEDDED="1",
    )
    service.control("start")
    service.command("enqueue", "service_jobs.slow", "[1.5]")
    wait_until(lambda: service.exists("began"), what=service.reported)

    service.control("stop")

    assert service.exists("ended")
    assert service.show("Result", "ActiveState") == ["success", "inactive"]
    assert service.events("supervisor.stopped")[-1]["exit_status"] == 0


def test_nothing_is_left_after_a_stop(service: Service) -> None:
    service.configure(JOBSD_EMBEDDED="1")
    service.control("start")
    left = _processes(service)

    service.control("stop")

    assert len(left) > 10  # the tree and the server
    assert not left & set(map(int, service.box.ask("ps", "-eo", "pid=").split()))


@pytest.mark.failure(
    "Under systemd: the tree dies at each start.",
    "The unit ends in `failed`, after the tries that it allows",
)
def test_a_crash_loop_ends_in_failure(service: Service) -> None:
    few = "[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=10ms\nRestartSteps=0\n"
    service.configure(drop_in=few, DATABASE_URL=NOWHERE)
    service.control("start")
    pid = service.pid

    for _ in range(2):
        service.signal("KILL", pid)
        pid = service.wait_successor(pid)
    service.signal("KILL", pid)

    service.wait_state("failed")
    assert "Start request repeated too quickly" in service.reported()


@pytest.mark.failure(
    "Under systemd: the configuration is faulty.",
    "Exit status 78, reported in the journal, and not tried again.",
)
def test_a_fault_of_the_configuration_is_reported_and_not_tried_again(service: Service) -> None:
    service.box.write("/etc/jobsd/queue.yml", "wrokers: []\n")

    service.control("start", succeeds=False)

    assert service.show("ActiveState", "ExecMainStatus", "NRestarts") == ["failed", "78", "0"]
    assert "/etc/jobsd/queue.yml:1:1" in service.reported()


def test_a_service_starts_no_database_of_its_own_accord(service: Service) -> None:
    service.configure()

    service.control("start", succeeds=False)

    assert service.show("ExecMainStatus") == ["78"]
    assert "JOBSD_EMBEDDED=1" in service.reported()


def test_the_service_listens_on_loopback_only(service: Service) -> None:
    service.configure(JOBSD_EMBEDDED="1")

    service.control("start")

    assert _listening(service) == {"127.0.0.1:9394"}


def test_the_service_listens_elsewhere_when_it_is_asked_to(service: Service) -> None:
    service.configure(DATABASE_URL=NOWHERE, JOBSD_METRICS_BIND=":9395")

    service.control("start")

    assert _listening(service) == {"*:9395"}


def test_an_instance_has_files_of_its_own(box: Box) -> None:
    instance = Service(box, "jobsd@blue")
    box.write("/etc/jobsd/blue/queue.yml", "workers: [{processes: 2}]\n")
    box.run("chgrp", "-R", "jobsd", "/etc/jobsd")
    box.write("/etc/jobsd/blue/env", f"DATABASE_URL={NOWHERE}\n")
    box.write("/etc/jobsd/env", "")
    instance.begin()

    instance.control("start")

    wait_until(
        lambda: "3 processes up" in instance.show("StatusText")[0], what=instance.status()
    )
    assert box.ask("stat", "-c%a %U", "/var/lib/jobsd/blue") == "750 jobsd"
    instance.control("stop")


def _processes(service: Service) -> set[int]:
    """Return the processes of the service's control group."""
    group = f"/sys/fs/cgroup/system.slice/{service.name}.service/cgroup.procs"
    return set(map(int, service.box.ask("cat", group).split()))


def _listening(service: Service) -> set[str]:
    """Return the addresses on which anything in the box listens: nothing else is there."""
    lines = service.box.run("ss", "--no-header", "-ltun").stdout.splitlines()
    return {line.split()[4] for line in lines}
