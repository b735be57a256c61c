"""What systemd hears, and how it goes without systemd, as process 1 of a container."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness.stub_tree import StubTree, stub_tree
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.status import StatusReport
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., StubTree]


class Receiver:
    """Listens as systemd does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(30)

    def wait(self, line: str) -> str:
        """Wait for a message that has the line, or one that begins so; return the line."""
        while True:
            self.heard.append(self._socket.recv(4096).decode())
            for found in self.heard[-1].splitlines():
                if found.startswith(line):
                    return found

    def rest(self, line: str, silence_s: float) -> int:
        """Return how often the line comes until nothing has come for a while, or is there."""
        self._socket.settimeout(silence_s)
        times = 0
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while self.wait(line):
                times += 1
        return times

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path)
    yield made
    made.close()


def test_systemd_hears_of_start_and_stop(start: Start, receiver: Receiver) -> None:
    tree = start(environ={"NOTIFY_SOCKET": str(receiver.path)}, shutdown_timeout_s=3)
    receiver.wait("READY=1")
    receiver.wait("STATUS=3 processes up")

    tree.send(signal.SIGTERM)

    receiver.wait("STOPPING=1")
    assert receiver.heard[-1].splitlines()[1] == "EXTEND_TIMEOUT_USEC=8000000"
    receiver.wait("STATUS=stopping")


def test_the_status_is_reported_only_when_it_changes(start: Start, receiver: Receiver) -> None:
    tree = start(environ={"NOTIFY_SOCKET": str(receiver.path)})
    receiver.wait("STATUS=3 processes up")
    for _ in range(5):
        tree.state()

    tree.send(signal.SIGTERM)

    receiver.wait("STOPPING=1")
    assert receiver.heard[-2] == "STATUS=3 processes up"
    assert receiver.heard.count("STATUS=3 processes up") == 1


def test_a_tree_is_not_ready_while_one_of_it_boots(tmp_path: Path, receiver: Receiver) -> None:
    boots = tmp_path / "worker.boots"
    boots.touch()

    with stub_tree(tmp_path, environ={"NOTIFY_SOCKET": str(receiver.path)}) as tree:
        receiver.wait("STATUS=1 of 3 processes up")
        tree.state()
        assert tree.events("supervisor.ready") == []
        boots.unlink()
        receiver.wait("READY=1")


def test_systemd_hears_of_a_reload(start: Start, receiver: Receiver) -> None:
    tree = start(environ={"NOTIFY_SOCKET": str(receiver.path)})
    receiver.wait("READY=1")

    tree.send(signal.SIGHUP)

    receiver.wait("RELOADING=1")
    assert receiver.heard[-1].splitlines()[1].startswith("MONOTONIC_USEC=")
    receiver.wait("READY=1")
    tree.wait_event("supervisor.reloaded")


def test_the_watchdog_is_fed_twice_as_often_as_it_asks(
    start: Start, receiver: Receiver
) -> None:
    environ = {"NOTIFY_SOCKET": str(receiver.path), "WATCHDOG_USEC": "300000"}
    tree = start(environ=environ)
    receiver.wait("WATCHDOG=1")
    watch = Stopwatch()
    for _ in range(5):
        receiver.wait("WATCHDOG=1")
    fed_in = watch.took()

    tree.send(signal.SIGSTOP)

    assert fed_in < 5 * 0.25
    wait_until(lambda: psutil.Process(tree.pid).status() == psutil.STATUS_STOPPED)
    receiver.rest("WATCHDOG=1", silence_s=0)
    assert receiver.rest("WATCHDOG=1", silence_s=0.5) == 0


def test_a_sign_of_life_never_comes_later_than_half_of_the_watchdogs_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def keep_title(*_: object) -> None:
        """It is the title of the tests."""

    monkeypatch.setattr("jobsd.supervisor.status.set_title", keep_title)
    nobody: Any = SimpleNamespace(children=[], processes={})
    reported: list[str] = []
    fed_at: list[float] = []
    report = StatusReport(Scoreboard(), nobody, reported.append, watchdog_s=30)
    began = report.next_due()

    # DatabaseThread come when something is due, or a second apart: no clock takes part.
    for now in (began + tenth / 10 for tenth in range(0, 1000, 10)):
        reported.clear()
        report.report(now)
        fed_at += [now - began] * reported.count("WATCHDOG=1")
        assert report.next_due() - now <= 15

    assert fed_at == [0, 15, 30, 45, 60, 75, 90]


def test_a_status_names_a_database_that_is_away(tmp_path: Path, receiver: Receiver) -> None:
    environ = {"NOTIFY_SOCKET": str(receiver.path)}
    (tmp_path / "monitor.blocked").touch()

    with stub_tree(tmp_path, environ=environ):
        assert receiver.wait("STATUS=3 processes up") == (
            "STATUS=3 processes up, waiting for the database"
        )


def _unshared(*more: str) -> list[str]:
    wrap = ["unshare", "--pid", "--fork", "--kill-child", *more]
    tried = shutil.which("unshare") and subprocess.run(
        [*wrap, "true"], check=False, capture_output=True
    )
    if not tried or tried.returncode:
        pytest.skip("a namespace of process ids needs a privilege that we don't have")
    return wrap


def test_as_process_1_it_reaps_orphans_and_ends_in_order(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), wrap=_unshared("--mount-proc"))
    assert tree.wait_event("supervisor.started")["by"] == 1
    tree.command("worker.orphan")
    tree.wait_event("orphan")
    (init,) = map(int, Path(f"/proc/{tree.pid}/task/{tree.pid}/children").read_text().split())
    children = Path(f"/proc/{init}/task/{init}/children")
    # It has its name once it is more than a copy of the shell.
    wait_until(lambda: _running(children, "sleep"))
    (outside,) = _running(children, "sleep")

    os.kill(outside, signal.SIGKILL)

    tree.wait_event("process.reaped")
    assert str(outside) not in children.read_text().split()
    os.kill(init, signal.SIGTERM)
    assert tree.process.wait(30) == 0


def test_a_proc_of_another_namespace_misleads_no_check(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), wrap=_unshared(), hang_timeout_s=0.6)

    tree.command("worker.hang")

    assert tree.wait_event("process.exited")["reason"] == "hung"
    tree.wait_event("process.replaced")
    (init,) = map(int, Path(f"/proc/{tree.pid}/task/{tree.pid}/children").read_text().split())
    os.kill(init, signal.SIGTERM)
    assert tree.process.wait(30) == 0


def _running(children: Path, command: str) -> list[int]:
    pids = map(int, children.read_text().split())
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text() == f"{command}\n"]


@pytest.mark.failure(
    "The kernel kills a worker because memory has run out.",
    "It is reported as an OOM kill, not as any other SIGKILL.",
)
def test_an_oom_kill_of_a_worker_is_distinguished_from_other_kills(
    tmp_path: Path, memory_limit: list[str]
) -> None:
    with stub_tree(tmp_path, ("monitor", 1), ("worker", 1), wrap=memory_limit) as tree:
        tree.wait_event("supervisor.ready")

        tree.command("worker.eat")

        reported = tree.wait_event("process.exited")
        assert (reported["kind"], reported["signal"], reported["reason"]) == (
            "worker",
            "SIGKILL",
            "oom",
        )
        os.kill(tree.wait_event("process.replaced")["pid"], signal.SIGKILL)
        assert tree.wait_event("process.exited", 2)["reason"] == "signal"


@pytest.fixture
def memory_limit() -> Iterator[list[str]]:
    """A command that starts another one in a control group with little memory."""
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    root, limit = (v1, "memory.limit_in_bytes") if v1.is_dir() else (v2, "memory.max")
    group = root / f"jobsd-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("a control group needs a privilege that we don't have")
    if not (group / limit).exists():
        group.rmdir()
        pytest.skip("the memory controller is not there")
    (group / limit).write_text(str(150 << 20))
    yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    wait_until(lambda: not (group / "cgroup.procs").read_text().split())
    group.rmdir()
