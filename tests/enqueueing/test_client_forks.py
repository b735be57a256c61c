"""The pool on the caller's side, on both sides of a fork."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from enqueueing.ways import note
from jobsd.enqueueing import client
from jobsd.jobs import default_database

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from enqueueing.ways import Stored
    from jobsd.database.connection import Target
    from jobsd.enqueueing.client import Client


def _in_child(act: Callable[[], object]) -> int:
    """Run it in a fork; return the exit status, 0 when nothing was raised in time."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            timer = threading.Timer(20, os._exit, (2,))
            timer.daemon = True
            timer.start()
            act()
            status = 0
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_in_the_middle_of_other_threads_enqueues_enqueues(
    pool: Client, stored: Stored
) -> None:
    del pool
    over = threading.Event()

    def busy() -> int:
        done = 0
        while not over.is_set():
            note.enqueue(0)
            done += 1
        return done

    with ThreadPoolExecutor(6) as threads:
        running = [threads.submit(busy) for _ in range(6)]
        statuses = [_in_child(lambda: note.enqueue(1)) for _ in range(10)]
        over.set()
        done = sum(one.result(60) for one in running)

    assert statuses == [0] * 10
    assert len(stored()) == done + 10


def test_a_child_speaks_on_no_connection_of_its_parent(pool: Client) -> None:
    def backend() -> int:
        with pool.session() as session:
            return session.connection.info.backend_pid

    parents = backend()

    def speak() -> None:
        assert backend() != parents

    assert (_in_child(speak), backend()) == (0, parents)


def test_threads_of_a_child_share_one_pool(pool: Client, stored: Stored) -> None:
    note.enqueue(0)
    parents = list(pool.idle)

    def many() -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(note.enqueue, range(40)))
        assert len(pool.idle) <= 3
        assert not set(map(id, parents)) & set(map(id, pool.idle))

    assert _in_child(many) == 0
    assert len(stored()) == 41


def test_a_fork_while_the_database_is_being_found_does_not_stand_still(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def find() -> Target:
        asked.set()
        assert go_on.wait(60)
        return target

    # A command that ran in this process has chosen one.
    monkeypatch.setattr(default_database, "chosen", None)
    monkeypatch.setattr(default_database, "find_target", find)
    client.configure()

    def child() -> None:
        client.configure(target.url)
        note.enqueue(2)

    with ThreadPoolExecutor(1) as threads:
        enqueued = threads.submit(note.enqueue, 1)
        assert asked.wait(60)

        status = _in_child(child)

        go_on.set()
        assert enqueued.result(60).state == "ready"
    client.configure()
    assert status == 0


def test_a_connection_that_was_lent_across_a_fork_is_not_used_on_both_sides(
    pool: Client,
) -> None:
    def child() -> None:
        note.enqueue(1)
        lending.__exit__(None, None, None)
        assert lent not in pool.idle
        gc.collect()

    lending = pool.session()
    lent = lending.__enter__()
    backend = lent.connection.info.backend_pid
    status = _in_child(child)
    row = lent.connection.execute("SELECT pg_backend_pid()").fetchone()
    lending.__exit__(None, None, None)

    assert (status, row) == (0, (backend,))


def test_a_child_that_ends_as_programs_do_leaves_its_parents_connection_alone(
    target: Target, stored: Stored
) -> None:
    program = f"""
        import os, sys
        from jobsd import configure, job
        configure({target.url!r})
        @job(name="forked")
        def forked(value): ...
        forked.enqueue(1)
        from jobsd.enqueueing.client import default_client
        with default_client().session() as lent:
            backend = lent.connection.info.backend_pid
        if os.fork() == 0:
            forked.enqueue(2)
            sys.exit(0)
        assert os.wait()[1] == 0
        forked.enqueue(3)
        with default_client().session() as lent:
            assert lent.connection.info.backend_pid == backend
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode, len(stored())) == (0, 3), done.stderr
