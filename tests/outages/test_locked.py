"""The tables are locked for long, as by VACUUM FULL, on a server with few connections."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.clock import monotonic
from outages.ordeal import RECOVERY_S, ordeal
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from outages.cluster import Cluster

pytestmark = pytest.mark.system

_BACKENDS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'jobsd %'
"""
_LOCKED_S = 25


@pytest.mark.failure(
    "A table is locked (VACUUM FULL, ALTER TABLE) for 25 s, on a server with 20 connections.",
    "An outage. Each process keeps one backend at most, so that others can connect; then"
    " everything continues.",
)
def test_a_locked_table_locks_no_other_out(running: Cluster, url: str, tmp_path: Path) -> None:
    running.stop()
    running.start(max_connections="20")
    with ordeal(tmp_path, url) as tree:
        tree.begin()
        before = tree.query(_BACKENDS)[0][0]
        with psycopg.connect(url) as locker:
            locker.execute("LOCK TABLE jobsd.jobs IN ACCESS EXCLUSIVE MODE")
            began, most = monotonic(), 0

            def seen_long_enough() -> bool:
                nonlocal most
                with contextlib.closing(psycopg.connect(url, connect_timeout=2)) as other:
                    row = other.execute(_BACKENDS.encode()).fetchone()
                most = max(most, int(str(row and row[0])))
                return monotonic() - began > _LOCKED_S

            wait_until(seen_long_enough, _LOCKED_S + 20)
        back = Stopwatch()

        # A new connection may come a moment before the old one's backend is gone.
        assert most <= before + 2
        assert tree.recovered(back) < RECOVERY_S
        tree.check(lost=None)
