"""A test run that is killed leaves nothing behind that it has started or made."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from harness.tree import is_alive
from layout.house import tool
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
STANDS_STILL = """
import os, signal, subprocess, threading
from pathlib import Path

def test_that_never_ends(server_url: str, tmp_path: Path) -> None:
    ends_with_us = ["setpriv", "--pdeathsig", "TERM", "sleep", "300"]
    child = subprocess.Popen(ends_with_us, cwd=tmp_path).pid
    while Path(f"/proc/{child}/comm").read_text() != "sleep\\n":
        pass
    os.kill(child, signal.SIGSTOP)
    Path("reported.new").write_text(f"{child} {server_url}")
    Path("reported.new").rename("reported")
    threading.Event().wait()
"""


@pytest.fixture(params=[(), ("-n", "1")], ids=["alone", "with a worker"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A test run with a server, in the middle of a test."""
    (tmp_path / "test_still.py").write_text(STANDS_STILL, encoding="utf-8")
    others = ("JOBSD", "PYTEST")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    ours = ("-p", "conftest", "-p", "no:cacheprovider", "--rootdir", ".")
    with subprocess.Popen(
        [tool("pytest"), *ours, *request.param, "test_still.py"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as started:
        try:
            reported = tmp_path / "reported"
            wait_until(lambda: reported.exists() or started.poll() is not None, 60)
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_leaves_no_process_and_no_server_with_its_folder(
    run: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    child, _, url = (tmp_path / "reported").read_text(encoding="utf-8").partition(" ")
    socket = Path(str(conninfo.conninfo_to_dict(url)["host"]))
    postmaster = int((socket.parent / "data/postmaster.pid").read_text().split()[0])

    run.send_signal(number)

    wait_until(lambda: not is_alive(int(child)), 20)
    wait_until(lambda: not is_alive(postmaster), 20)
    wait_until(lambda: not socket.parents[1].exists(), 20)
