"""The primary dies, and its standby takes over."""

from __future__ import annotations

import contextlib
import json
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from outages.cluster import Cluster, cluster, place, returned
from outages.ordeal import RECOVERY_S, ordeal
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.system

_STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


@contextlib.contextmanager
def _pair() -> Generator[tuple[Cluster, Cluster]]:
    """A primary, and a standby without which it commits nothing."""
    with cluster() as primary, place() as standby:
        primary.start()
        standby.copy(primary)
        standby.start(answers=False)
        primary.stop()
        primary.start(synchronous_standby_names="*", answers=False)
        wait_until(lambda: _streams(primary), what=standby.reported)
        yield primary, standby


def _streams(primary: Cluster) -> bool:
    with contextlib.suppress(psycopg.OperationalError), primary.connect() as connection:
        return connection.execute(_STREAMING.encode()).fetchone() == (1,)
    return False


@pytest.mark.failure(
    "The primary is killed (in a long test: stands still) and its streaming standby promoted;"
    " the URL names both hosts (`target_session_attrs=read-write`).",
    "It is an outage until the promotion; all committed data are there, and everything"
    " continues. A statement to a server that hangs is given up first, after ten seconds",
)
@pytest.mark.parametrize(
    ("how", "within_s"),
    [
        ("killed", RECOVERY_S),
        pytest.param("stands still", 10 + 3 + RECOVERY_S, marks=pytest.mark.long),
    ],
)
def test_a_promoted_standby_is_found_and_has_all_that_was_committed(
    tmp_path: Path, how: str, within_s: float
) -> None:
    with _pair() as (primary, standby):
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://jobsd@{hosts}/postgres?target_session_attrs=read-write"
        with ordeal(tmp_path, url) as tree:
            tree.begin()

            if how == "killed":
                primary.stop(signal.SIGKILL)
            else:
                primary.freeze()
            tree.tree.wait_event("database.unavailable")
            standby.promote()

            assert tree.recovered(returned(standby, standby.url)) < within_s
            tree.check()


@pytest.mark.failure(
    "The URL leads to a standby: the database answers, but only reads.",
    "An outage: the tree waits until the standby is promoted.",
)
def test_a_standby_is_waited_for_until_it_is_promoted(tmp_path: Path) -> None:
    with cluster() as standby:
        (standby.data / "standby.signal").touch()
        # No fewer than the cluster was made with: else it would not begin to replay.
        standby.start(answers=False, max_connections="100")
        wait_until(lambda: standby.answers(writes=False), what=standby.reported)
        with ordeal(tmp_path, standby.url) as tree:
            waiting = tree.tree.wait_event("database.awaited")
            assert "read-only transaction" in str(waiting["error"])

            standby.promote()
            back = returned(standby, standby.url)

            tree.tree.wait_event("database.migrated")
            tree.begin()
            assert tree.recovered(back) < RECOVERY_S
            tree.check()


_READERS = ("list", "show 1", "queues", "db status")


def test_a_standby_is_recognized_by_doctor(tmp_path: Path) -> None:
    with cluster() as primary, place() as standby:
        primary.start()
        migrate(Target(primary.url))
        with primary.connect() as connection:
            connection.execute("SELECT jobsd.enqueue('trial_jobs.plain', '[1]')")
        standby.copy(primary)
        standby.start(answers=False)
        wait_until(lambda: standby.answers(writes=False), what=standby.reported)
        both = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        project = Project(tmp_path, f"postgresql://jobsd@{both}/postgres")
        project.write("config/queue.yml", "workers: [{threads: 1}]\n")

        for words in _READERS:
            done = project.run(*words.split())
            assert done.returncode == 0, done.stderr
        said = json.loads(project.run("doctor", "--json").stdout)
        findings = {each["subject"]: each for each in said}

    assert findings["version"]["level"] == "FAIL"
    assert "this is a standby, which refuses all changes" in findings["version"]["message"]
    assert "add target_session_attrs=read-write" in findings["database"]["message"]
