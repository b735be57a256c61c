"""A tree that is the child of a web server ends with it, and is missed by it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from harness.tree import COMMAND, Tree
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

SERVER = """
import os, subprocess, sys
tree = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *sys.argv[1:]])
# By one call each: `print` may write the end of a line by itself, and the tree writes, too.
os.write(1, b'{"event": "child", "pid": %d}\\n' % tree.pid)
os.write(1, b'{"event": "missed", "status": %d}\\n' % tree.wait())
"""


@pytest.fixture
def server(project: Project) -> Tree:
    """A program that has started our tree as its child; `process` is the program."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    command = [sys.executable, "-c", SERVER, *COMMAND, "start"]
    return Tree(command, project.root, project.environ)


@pytest.mark.failure(
    "the web server whose child the tree is, is killed",
    "the tree ends in order",
)
@pytest.mark.behaviour(89)
def test_a_tree_ends_in_order_when_its_web_server_is_killed(server: Tree, query: Query) -> None:
    try:
        server.wait_event("supervisor.ready")
        server.children()

        server.process.kill()

        wait_until(lambda: not server.alive(), 3, server.reported)
        assert server.wait_event("supervisor.stopped")["exit_status"] == 0
        assert query("SELECT FROM jobsd.processes") == []
    finally:
        server.end()


@pytest.mark.behaviour(89)
def test_a_web_server_hears_of_the_end_of_its_tree(server: Tree) -> None:
    try:
        server.wait_event("supervisor.ready")
        server.children()

        os.kill(server.wait_event("child")["pid"], signal.SIGKILL)

        assert server.wait_event("missed")["status"] == -signal.SIGKILL
        wait_until(lambda: not server.alive(), 2, server.reported)
    finally:
        server.end()
