"""`reload` waits for what becomes of it, and says so by its exit status."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.supervisor.requests import SOCKETS_MAX, Requester, address, listen, running
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.tree import Tree
    from system.commands import Commands

pytestmark = pytest.mark.system

_RELOADS = 'jobsd_reloads_total{outcome="%s"} %s\n'


@contextlib.contextmanager
def _measured(run: Commands) -> Generator[Tree]:
    """A tree whose monitor says what it has counted."""
    with run.project.start("--metrics-bind", "127.0.0.1:0") as tree:
        tree.wait_event("supervisor.ready")
        yield tree


def test_a_reload_has_ended_when_its_command_has(run: Commands) -> None:
    with _measured(run) as tree:
        before = {child.pid for child in tree.children()}

        done = run.json("reload")

        assert done == {
            "pid": tree.process.pid,
            "status": 0,
            "duration": tree.wait_event("supervisor.reloaded")["duration"],
        }
        assert not before & {child.pid for child in tree.children()}
        assert run("reload").stderr.startswith("the daemon has reloaded in ")
        reported = run("metrics").stdout
        assert _RELOADS % ("done", 2.0) in reported
        assert "jobsd_reload_last_success 1.0\n" in reported


@pytest.mark.failure(
    "`reload` meets a fault of the configuration, or a module that can't be imported",
    "it ends with 78, with the faults that `check` reports, and the tree continues"
    " unchanged; a metric and an event report it",
)
@pytest.mark.parametrize("broken", ["configuration", "module"])
def test_a_reload_that_is_refused_ends_with_78_and_its_faults(
    run: Commands, broken: str
) -> None:
    with _measured(run) as tree:
        if broken == "module":
            run.project.write("shop_jobs.py", "1 / 0\n")
        else:
            run.project.write("config/queue.yml", "wrokers: []\nworkers: [{threads: 0}]\n")

        done = run("reload")

        assert (done.returncode, done.stdout) == (78, "")
        tree.wait_event("supervisor.reload_failed")
        if broken == "module":
            assert "the children not reached yet stay as they were" in done.stderr
            assert "check` lists the faults" in done.stderr
        else:
            assert done.stderr.startswith(
                'error: unknown key "wrokers"\n  at config/queue.yml:1:1'
            )
            assert run("check").stderr.endswith(done.stderr)
            run.project.write("config/queue.yml", "import: [shop_jobs]\n")
        reported = run("metrics").stdout
        assert _RELOADS % ("failed" if broken == "module" else "refused", 1.0) in reported
        assert "jobsd_reload_last_success 0.0\n" in reported


def test_commands_that_meet_each_have_an_answer(run: Commands) -> None:
    with run.project.start() as tree, ThreadPoolExecutor() as pool:
        tree.wait_event("supervisor.ready")

        asked = [pool.submit(run, "reload") for _ in range(6)]
        done = [each.result() for each in asked]

        assert [(each.returncode, each.stderr[:23]) for each in done] == [
            (0, "the daemon has reloaded")
        ] * 6
        assert 1 <= len(tree.events("supervisor.reloaded")) <= 6


def test_a_reload_during_a_faulty_one_keeps_its_own_outcome(
    run: Commands,
) -> None:
    run.project.write("config/queue.yml", "import: [shop_jobs]\nworkers: [{processes: 3}]\n")
    with run.project.start() as tree, ThreadPoolExecutor() as pool:
        tree.wait_event("supervisor.ready")
        first = pool.submit(run, "reload")
        tree.wait_event("process.replaced")
        good = (run.project.root / "config/queue.yml").read_text()
        run.project.write("config/queue.yml", "wrokers: []\n")

        assert run("reload").returncode == 78
        run.project.write("config/queue.yml", good)
        assert first.result().returncode == 0


def test_without_a_database_a_reload_is_done_too(run: Commands) -> None:
    with run.project.start("--database-url", "postgresql://127.0.0.1:1/none") as tree:
        tree.wait_event("supervisor.ready")

        assert run("reload", QUEUE_DATABASE_URL="postgresql://127.0.0.1:1/none").returncode == 0


def test_a_reload_without_a_supervisor_ends_with_3(run: Commands) -> None:
    done = run("reload")

    assert done.returncode == 3
    assert done.stderr == f"error: no supervisor runs in {run.project.root}\n"


@pytest.mark.failure("a supervisor is killed while `reload` waits", "`reload` ends with 3")
def test_a_supervisor_that_is_killed_meanwhile_does_not_run(run: Commands) -> None:
    with run.project.start() as tree, ThreadPoolExecutor() as pool:
        tree.wait_event("supervisor.ready")
        os.kill(tree.process.pid, signal.SIGSTOP)
        asked = pool.submit(run, "reload")
        wait_until(
            lambda: _connected(run) == 2, what="the supervisor's socket, and the command's"
        )
        tree.process.kill()

        done = asked.result()

        assert done.returncode == 3
        assert "has ended meanwhile" in done.stderr


def _connected(run: Commands) -> int:
    name = address(run.project.root, 0).replace("\0", "@")
    return Path("/proc/net/unix").read_text(encoding="utf-8").count(name)


def test_a_supervisor_that_stops_reloads_nothing(run: Commands) -> None:
    with run.project.start() as tree, ThreadPoolExecutor() as pool:
        tree.wait_event("supervisor.ready")
        asked = pool.submit(run, "reload")
        tree.wait_event("process.replaced")
        tree.terminate()

        done = asked.result()

        assert (done.returncode, done.stderr) == (1, "error: the supervisor is stopping\n")


def test_of_several_one_must_be_named(run: Commands) -> None:
    with run.project.start() as one, run.project.start() as other:
        for tree in (one, other):
            tree.wait_event("supervisor.ready")

        done = run("reload")

        pids = {one.process.pid, other.process.pid}
        assert done.returncode == 6
        assert all(str(pid) in done.stderr for pid in pids)
        assert run("reload", "--pid", str(other.process.pid)).returncode == 0
        other.wait_event("supervisor.reloaded")
        assert one.events("supervisor.reloaded") == []
        assert run("reload", "--pid", "1").returncode == 3


def test_a_project_elsewhere_is_not_asked(run: Commands, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "config").mkdir(parents=True)
    (other / "config/queue.yml").touch()
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        done = subprocess.run(
            [sys.executable, "-P", "-m", "jobsd.daemon", "reload"],
            cwd=other,
            env={k: v for k, v in os.environ.items() if k != "JOBSD_HOME"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 3
        assert tree.events("supervisor.reloaded") == []


@pytest.mark.failure(
    "The folder in which a supervisor runs is replaced by another one.",
    "`reload --pid`, as systemd calls it, reaches the supervisor nevertheless",
)
def test_a_folder_that_was_replaced_has_the_supervisor_of_its_process_id(
    run: Commands,
) -> None:
    root = run.project.root
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        shutil.copytree(root, root.with_name("new"))
        root.rename(root.with_name("old"))
        root.with_name("new").rename(root)

        assert run("reload").returncode == 3
        assert run("reload", "--pid", str(tree.process.pid)).returncode == 0
        tree.wait_event("supervisor.reloaded")


@pytest.mark.parametrize("character", ["\U0001f600", "\0", "\udc80", "x"])
def test_the_longest_answer_arrives_whole(character: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as lines:
        ours.settimeout(0)

        Requester(ours).answer(78, character * 100_000)

        reported = json.loads(lines.read())["message"]
        assert reported == character * len(reported)
        assert len(reported) > 10_000


def test_no_child_and_no_job_holds_what_commands_are_heard_by(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        assert run("reload").returncode == 0
        tree.process.kill()
        tree.process.wait()

        assert run("reload").returncode == 3


@pytest.mark.failure(
    "Another user has taken the names of the sockets by which commands reach supervisors",
    "A command waits for no socket of another user, and asks only the project's own"
    " supervisor.",
)
def test_a_socket_that_accepts_no_one_holds_up_no_command(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as squatter:
        squatter.bind(address(tmp_path, 0))
        squatter.listen(0)
        waiting = list(running(tmp_path))
        ours = listen(tmp_path)
        watch = Stopwatch()

        found = list(running(tmp_path))

        assert len(waiting) == 1
        assert [each.getpeername() for each in found] == [address(tmp_path, 1).encode()]
        assert watch.took() < 5
        ours.close()
        for each in (*waiting, *found):
            each.close()


@pytest.mark.failure(
    "All names of the sockets by which commands reach a project's supervisors are taken",
    "The tree runs, and a warning says that `reload` can't reach it.",
)
def test_a_supervisor_without_a_free_socket_warns(run: Commands) -> None:
    taken = [listen(run.project.root) for _ in range(SOCKETS_MAX)]

    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        warned = [each["warning"] for each in tree.events("configuration.warning")]
        assert any("commands can't ask" in warning for warning in warned), warned
    for each in taken:
        each.close()


def test_a_supervisor_beyond_the_most_sockets_of_a_folder_has_none(
    tmp_path: Path,
) -> None:
    taken = [listen(tmp_path) for _ in range(SOCKETS_MAX)]

    assert all(list(each.descriptors()) for each in taken)
    assert list(listen(tmp_path).descriptors()) == []
    assert len({address(tmp_path, number) for number in range(SOCKETS_MAX)}) == SOCKETS_MAX
    for each in taken:
        each.close()
