"""The database's disk runs full, and there is room again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from outages.cluster import Cluster, place
from outages.ordeal import RECOVERY_S, ordeal
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.system

_SIZE = "120m"


@contextlib.contextmanager
def _on_a_small_disk() -> Generator[Cluster]:
    with place() as made:
        owner = f"uid={made.account.uid},gid={made.account.gid},mode=755"
        mount = ("mount", "-t", "tmpfs", "-o", f"size={_SIZE},{owner}", "tmpfs", made.folder)
        if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("needs root, and the right to mount")
        try:
            made.make()
            yield made
        finally:
            made.stop(signal.SIGQUIT)
            subprocess.run(("umount", made.folder), check=True)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def _is_refused(disk: Cluster) -> bool:
    """Return whether it says that its disk is full when it is asked to write."""
    rows = "SELECT repeat('x', 1000) FROM generate_series(1, 9999)"
    try:
        with disk.connect() as connection:
            connection.execute(f"CREATE UNLOGGED TABLE more AS {rows}".encode())
    except psycopg.errors.DiskFull:
        return True
    return False


def _write_until_it_ends(disk: Cluster) -> None:
    """Write what fills no table, until the database's log needs more room, too."""
    with contextlib.suppress(psycopg.OperationalError), disk.connect() as connection:
        while True:
            connection.execute("SELECT pg_logical_emit_message(false, '', repeat('x', 500000))")


def _is_back(disk: Cluster) -> bool:
    """Start it if it has ended, as it may a while after its PANIC; return if it answers."""
    if not disk.runs:
        disk.stop()
        disk.start(answers=False)
    return disk.answers(disk.url)


@pytest.mark.failure(
    "The database's disk is full: it refuses to write (53100), then it ends with a PANIC.",
    "It is an outage, whatever error the database reports; once there is room, nothing is lost",
)
def test_a_full_disk_is_an_outage_that_ends_when_there_is_room(tmp_path: Path) -> None:
    with _on_a_small_disk() as disk:
        disk.start()
        with ordeal(tmp_path, disk.url) as tree:
            tree.begin()
            ballast = disk.folder / "ballast"

            _fill(ballast)
            assert _is_refused(disk)
            _write_until_it_ends(disk)
            wait_until(lambda: tree.tree.events("database.unavailable"), what=disk.reported)
            ballast.unlink()
            wait_until(lambda: _is_back(disk), what=disk.reported)

            assert tree.recovered(Stopwatch()) < RECOVERY_S
            tree.check(lost=None)
