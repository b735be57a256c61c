"""Trees that are up, for tests that begin there: stubs, and ones that a test plays."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from harness.played_tree import PlayedTree, tree_on
from harness.stub_tree import StubTree, stub_tree
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.event_recorder import Emitted, EventRecorder
    from jobsd.database.connection import Target

    Start = Callable[..., StubTree]


@pytest.fixture
def context() -> Context:
    """The monitor of a tree, whose scoreboard has the names of both and no figures."""
    scoreboard = Scoreboard()
    scoreboard.supervisor_name = "supervisor-test"
    entry = scoreboard.entries[0]
    entry.take("monitor", "monitor-test")
    return Context(scoreboard, entry, entry.name)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a stub tree and wait until all of it is up."""
    with ExitStack() as stack:

        def begin(*specs: tuple[str, int], **options: Any) -> StubTree:
            tree = stack.enter_context(stub_tree(tmp_path, *specs, **options))
            tree.wait_event("supervisor.ready")
            return tree

        yield begin


@pytest.fixture
def tree(target: Target) -> Iterator[PlayedTree]:
    """A tree whose supervisor is the test, and nobody in it yet."""
    with tree_on(target) as tree:
        yield tree


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket on which a monitor may answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def monitored(tree: PlayedTree, listener: socket.socket) -> PlayedTree:
    """The tree, with a monitor that answers."""
    tree.start_monitor(listener)
    return tree


@pytest.fixture
def reported(recorder: EventRecorder) -> Emitted:
    """What is reported of jobs and processes."""
    return recorder.events("job.", "process.", "claims.", "outcomes.")
