"""What a child has from its supervisor, and what it must not have."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.stub_tree import StubTree, stub_tree
from harness.tree import is_alive
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., StubTree]


def inheritance(tree: StubTree, kind: str) -> dict[str, Any]:
    """Ask a process of a kind what it has."""
    tree.command(f"{kind}.inheritance")
    return tree.wait_event("inheritance", kind=kind)


def test_a_program_that_a_job_starts_has_no_signal_ignored_or_blocked(start: Start) -> None:
    reported = inheritance(start(), "worker")

    assert (reported["ignored"], reported["blocked"]) == (0, 0)


def test_a_signal_that_the_starter_had_blocked_is_heard(tmp_path: Path) -> None:
    blocking = (
        "import os,signal,sys;signal.pthread_sigmask(0,[15]);os.execv(sys.argv[1],sys.argv[1:])"
    )
    wrap = ["/usr/bin/env", "python3", "-c", blocking]
    with stub_tree(tmp_path, wrap=wrap) as tree:
        tree.wait_event("supervisor.ready")

        assert tree.terminate() < 2


def test_children_know_nothing_of_systemd(start: Start) -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "9000000", "LISTEN_FDS": "1"}

    assert inheritance(start(environ=environ), "worker")["environ"] == []


def test_children_do_not_hold_the_pidfile(start: Start) -> None:
    tree = start()

    assert not [file for file in inheritance(tree, "worker")["files"] if file.endswith("/pid")]


def test_only_the_monitor_keeps_the_listening_socket(start: Start) -> None:
    tree = start()

    sockets = {
        kind: sum(file.startswith("socket:") for file in inheritance(tree, kind)["files"])
        for kind in ("monitor", "worker")
    }
    assert sockets == {"monitor": 1, "worker": 0}


def test_memory_takes_a_worker_first_and_the_supervisor_last(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), ("dispatcher", 1))
    own = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))

    kinds = ("worker", "dispatcher", "monitor")
    scores = [inheritance(tree, kind)["oom_score_adj"] for kind in kinds]
    assert scores == [min(1000, own + sooner_by) for sooner_by in (500, 100, 100)]


def test_memory_takes_a_worker_first_even_if_the_supervisor_is_near_the_highest_score(
    tmp_path: Path,
) -> None:
    raising = (
        "import os,sys;open('/proc/self/oom_score_adj','w').write('800');"
        "os.execv(sys.argv[1],sys.argv[1:])"
    )
    with stub_tree(tmp_path, wrap=["/usr/bin/env", "python3", "-c", raising]) as tree:
        tree.wait_event("supervisor.ready")

        scores = [inheritance(tree, kind)["oom_score_adj"] for kind in ("worker", "monitor")]
        assert scores == [1000, 900]


def test_no_two_children_throw_the_same_dice(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1), ("dispatcher", 1))

    dice = {inheritance(tree, kind)["dice"] for kind in ("monitor", "worker", "dispatcher")}
    assert len(dice) == 3


@pytest.mark.parametrize("busy", ["worker.slow", "worker.wait"])
def test_no_child_outlives_a_killed_supervisor_by_a_second(start: Start, busy: str) -> None:
    tree = start(("monitor", 1), ("worker", 3), ("dispatcher", 1))
    command = tree.command(busy)
    wait_until(lambda: busy == "worker.slow" or not command.exists())
    children = tree.pids()

    tree.process.kill()

    wait_until(lambda: not any(is_alive(pid) for pid in children), within_s=1)
    assert len(children) == 5


def test_a_stopped_child_ends_when_it_goes_on_after_its_supervisor(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    pid = tree.pids("worker")[0]
    os.kill(pid, signal.SIGSTOP)
    tree.process.kill()
    tree.process.wait()

    os.kill(pid, signal.SIGCONT)

    wait_until(lambda: not is_alive(pid), within_s=1)


@pytest.mark.failure(
    "Jobs leave processes behind whose parents end.",
    "The supervisor adopts and reaps them: no zombie stays",
)
def test_orphans_come_to_the_supervisor_and_are_reaped(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("worker.orphan")
    orphan = tree.wait_event("orphan")["pid"]

    os.kill(orphan, signal.SIGKILL)

    tree.wait_event("process.reaped", pid=orphan)


@pytest.mark.failure(
    "A job leaves a program running.",
    "It ends with the tree, unless it has made a session of its own.",
)
def test_a_process_left_running_by_a_job_ends_with_the_tree(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("worker.orphan")
    orphan = tree.wait_event("orphan")["pid"]

    tree.terminate()

    assert not is_alive(orphan)


def test_a_server_with_a_session_of_its_own_outlives_the_tree(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    tree.command("worker.session")
    server = tree.wait_event("orphan")["pid"]
    wait_until(lambda: os.getsid(server) == server)

    tree.terminate()

    assert is_alive(server)


def test_titles_show_the_kind_and_state_of_a_process(start: Start) -> None:
    tree = start(("monitor", 1), ("worker", 1))
    pids = {kind: tree.pids(kind)[0] for kind in ("monitor", "worker")}

    # Each says so at the end of a round, and that the database is there once it was seen.
    wait_until(lambda: _title(pids["worker"]).startswith("jobsd worker"))
    wait_until(lambda: _title(pids["monitor"]).startswith("jobsd monitor"))
    wait_until(lambda: _title(tree.pid) == "jobsd supervisor: 2 processes up")


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
