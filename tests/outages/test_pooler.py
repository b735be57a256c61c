"""A whole tree behind PgBouncer in transaction mode, and the database restarted behind both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from database.pgbouncer import pgbouncer
from outages.cluster import returned
from outages.ordeal import RECOVERY_S, ordeal
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from outages.cluster import Cluster

pytestmark = pytest.mark.system

_COUNT_LISTENERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE '%wake-ups'
"""
_LISTENERS = {"off": 0, "past the pooler": 4}
"""Two workers, the dispatcher and the scheduler."""


@pytest.mark.failure(
    "The database is restarted behind a PgBouncer in transaction mode.",
    "The same as without PgBouncer, with wake-ups off or by a connection that bypasses it;"
    " jobs of all kinds run",
)
@pytest.mark.parametrize("wakeups", ["off", "past the pooler"])
def test_a_tree_behind_a_transaction_pooler_survives_the_database_too(
    running: Cluster, url: str, tmp_path: Path, wakeups: str
) -> None:
    said = '{wakeups: "off"}' if wakeups == "off" else f'{{listen_url: "{url}"}}'
    with (
        pgbouncer(url) as pooled,
        ordeal(tmp_path, pooled, database=said, direct_url=url) as tree,
    ):
        tree.begin()
        wait_until(
            lambda: tree.query(_COUNT_LISTENERS) == [(_LISTENERS[wakeups],)],
            what=tree.tree.reported,
        )

        running.stop()
        tree.tree.wait_event("database.unavailable")
        running.start()

        assert tree.recovered(returned(running, pooled)) < RECOVERY_S
        tree.check()
