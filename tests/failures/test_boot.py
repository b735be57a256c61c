"""The start: interrupted at any moment, without room for its pidfile, with an old one."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from failures.asking import finished
from failures.wrapped import full_disk, needs, wrapped
from jobsd.clock import monotonic
from system.jobs import enqueue
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system


def _of_folder(folder: Path) -> set[int]:
    """Return the processes whose working directory is the project's: all that we started."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if (entry / "cwd").readlink() == folder:
                found.add(int(entry.name))
    return {pid for pid in found if psutil.pid_exists(pid) and not _is_zombie(pid)}


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _ends(project: Project, query: Query, tree: Tree) -> int:
    """Tell the tree to end; return its status, once nobody of it is left."""
    assert tree.terminate() < 3
    wait_until(lambda: not _of_folder(project.root), 1, f"{_of_folder(project.root)} are left")
    assert query("SELECT kind FROM jobsd.processes") == []
    return tree.process.returncode


@pytest.mark.failure(
    "TERM at any moment of the start",
    "the start ends, with status 0 or by the signal; no child and no row is left behind",
)
def test_a_term_at_any_moment_of_the_start_leaves_no_process(
    project: Project, query: Query
) -> None:
    began = monotonic()
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        whole_s = monotonic() - began
        statuses = {_ends(project, query, tree)}
    for step in range(13):
        with project.start() as tree:
            let_pass(whole_s * step / 10)
            statuses.add(_ends(project, query, tree))

    assert statuses == {0, -signal.SIGTERM}


@pytest.mark.failure(
    "TERM comes while children are forked one by one",
    "the children that exist end, and no other is started; no process and no row is left"
    " behind",
)
@pytest.mark.parametrize("started", [1, 3, 6])
def test_a_term_while_children_boot_leaves_no_process(
    project: Project, query: Query, started: int
) -> None:
    project.write("config/queue.yml", "import: [trial_jobs]\nworkers: [{processes: 6}]\n")
    with project.start() as tree:
        wait_until(
            lambda: len(tree.children("worker")) >= started or tree.events("supervisor.ready")
        )

        assert _ends(project, query, tree) == 0
        assert tree.events("process.exited") == []


@pytest.mark.failure(
    "the disk of the pidfile is full",
    "the tree starts all the same: the lock needs no room; a second start is refused with 75",
)
def test_a_full_disk_keeps_no_tree_from_starting(project: Project) -> None:
    with (
        full_disk(project.root / "run", bytes_left=0) as folder,
        project.start("--pidfile", "run/pid") as tree,
    ):
        tree.wait_event("supervisor.ready")
        assert (folder / "pid").read_bytes() == b""

        second = project.run("start", "--pidfile", "run/pid")

        assert second.returncode == 75
        assert "another supervisor holds" in second.stderr
        assert tree.terminate() < 2
        tree.assert_clean_exit()


@pytest.mark.failure(
    "nothing can be written anywhere: the file system is read-only",
    "the tree starts, runs jobs and ends: without a pidfile it needs no file of its own",
)
def test_a_read_only_file_system_is_enough(project: Project, query: Query) -> None:
    remount = 'mount -o remount,bind,ro / && ! touch "$JOBSD_HOME/x" 2>&- && exec "$@"'
    read_only = needs("unshare", "--mount", "sh", "-c", remount, "sh")
    with wrapped(project, read_only) as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "say", "hello")
        finished(query, 1, tree.reported)

        assert tree.terminate() < 2
        tree.assert_clean_exit()


@pytest.mark.failure(
    "the pidfile of a killed tree names a living process, which has got the same process id",
    "only the lock counts, not the process id: the tree starts and writes its own",
)
def test_a_pidfile_that_names_a_living_process_is_taken_over(project: Project) -> None:
    path = project.write("run/pid", f"{os.getpid()}\n")
    with project.start("--pidfile", "run/pid") as tree:
        tree.wait_event("supervisor.ready")

        assert path.read_text(encoding="ascii") == f"{tree.process.pid}\n"
        assert tree.terminate() < 2
    assert not path.exists()


def test_a_configuration_named_as_the_pidfile_is_refused_and_kept(project: Project) -> None:
    path = project.write("config/queue.yml", "import: [trial_jobs]\n")

    done = project.run("start", "--pidfile", "config/queue.yml")

    assert done.returncode == 78
    fault = "config/queue.yml can't be used: it holds more than a process id (21 bytes)"
    assert fault in done.stderr
    assert "hint: name a file that does not exist yet" in done.stderr
    assert path.read_text(encoding="ascii") == "import: [trial_jobs]\n"
