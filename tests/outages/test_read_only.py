"""The database becomes read-only for a while, as an administrator or a host may make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outages.ordeal import RECOVERY_S, ordeal
from waiting import Stopwatch

if TYPE_CHECKING:
    from pathlib import Path

    from outages.cluster import Cluster

pytestmark = pytest.mark.system


def _set(running: Cluster, value: str) -> None:
    with running.connect() as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.failure(
    "The database is made read-only (`default_transaction_read_only`), and writable again.",
    "An outage: no process exits, one warning at each end; jobs that ran are recorded once.",
)
def test_a_database_that_only_reads_for_a_while_is_an_outage(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()
        _set(running, "on")
        try:
            tree.tree.wait_event("database.unavailable")
        finally:
            _set(running, "off")

        assert tree.recovered(Stopwatch()) < 10 * RECOVERY_S
        tree.check(lost=None)
