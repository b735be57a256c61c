"""A standby that is behind takes over, and workers behind a pooler miss it."""

from __future__ import annotations

import contextlib
import random
import signal
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from database.pgbouncer import pooler
from harness.project import Project
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from outages.cluster import Cluster, cluster, place, returned
from outages.ordeal import JOBS, connect
from system.jobs import LEDGER, ledger
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.system

WORKERS = 60
ALL = 300
BEHIND_S = 9.0

_QUEUE = f"""
import: [trial_jobs]
database: {{wakeups: "off"}}
workers: [{{processes: {WORKERS}, threads: 1, polling_interval: 0.5}}]
dispatchers: [{{polling_interval: 0.5}}]
"""
_ENQUEUE = "SELECT jobsd.enqueue('trial_jobs.slow', to_jsonb(%s::float8[]))"
_REPLAYED = """
SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()
"""
_LEFT = "SELECT (SELECT count(*) FROM jobsd.claims), count(*) FROM jobsd.ready_executions"
_ENDED = "SELECT count(*) FROM jobsd.jobs WHERE outcome = 'finished'"
_NOWHERE = """
SELECT id FROM jobsd.jobs
WHERE outcome IS NULL
    AND id NOT IN (SELECT job_id FROM jobsd.ready_executions)
    AND id NOT IN (SELECT job_id FROM jobsd.failed_executions)
    AND id NOT IN (SELECT job_id FROM jobsd.claimed_executions)
ORDER BY id
"""


@contextlib.contextmanager
def _behind(standby: Cluster) -> Generator[None]:
    """Keep what the primary writes from a standby; at the end of the block it never gets it."""
    (receiver,) = [
        each
        for each in psutil.process_iter(["cmdline"])
        if "walreceiver" in " ".join(each.info["cmdline"] or []) and _is_of(each, standby)
    ]
    receiver.suspend()
    try:
        yield
    finally:
        # It hears this before it reads what has come meanwhile.
        receiver.send_signal(signal.SIGTERM)
        receiver.resume()


def _is_of(process: psutil.Process, server: Cluster) -> bool:
    return any(str(server.data) in " ".join(each.cmdline()) for each in process.parents())


def _ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with contextlib.suppress(psycopg.OperationalError), connect(url) as connection:
        return connection.execute(query.encode()).fetchall()
    return []


@pytest.mark.long
@pytest.mark.timeout(420)
@pytest.mark.failure(
    "The primary dies, an asynchronous standby that is seconds behind is promoted, and a"
    " PgBouncer leads there, so that 60 workers with long jobs may not notice",
    "Every job that had reached the standby ends; none is in no table. Some run twice.",
)
def test_no_job_that_had_reached_the_standby_is_lost(tmp_path: Path) -> None:
    with cluster(max_connections="100") as primary, place(max_connections="100") as standby:
        primary.start()
        standby.copy(primary)
        standby.start(answers=False)
        migrate(Target(primary.url))
        dice = random.Random(1)  # noqa: S311
        with connect(primary.url) as connection:
            for number in range(ALL):
                seconds = 8 + 6 * dice.random()
                connection.execute(_ENQUEUE, ([float(number), seconds],))
        wait_until(lambda: _ask(primary.url, _REPLAYED) == [(1,)], what=standby.reported)
        with pooler(primary.url) as pooled:
            project = Project(tmp_path, pooled.url, LEDGER=str(tmp_path / "ledger"))
            project.write("trial_jobs.py", LEDGER + JOBS)
            project.write("config/queue.yml", _QUEUE)
            with project.start() as tree:
                wait_until(lambda: len(ledger(project)) > WORKERS * 2, 120, tree.reported)

                with _behind(standby):
                    let_pass(BEHIND_S)
                    primary.stop(signal.SIGQUIT)
                standby.promote()
                pooled.lead_to(standby.url)

                returned(standby, standby.url)
                # Who waits for nothing more has ended all, or lost some.
                wait_until(lambda: _ask(standby.url, _LEFT) == [(0, 0)], 240, tree.reported)
                assert _ask(standby.url, _NOWHERE) == []
                assert _ask(standby.url, _ENDED) == [(ALL,)]
