"""Which queues have jobs that no worker takes, as `doctor` finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import enqueue
from jobsd.daemon.tree.unattended import waiting
from system.rows import register

if TYPE_CHECKING:
    from jobsd.database.connection import Session

pytestmark = pytest.mark.usefixtures("default_client")


def test_a_worker_without_heartbeats_serves_no_queue(session: Session) -> None:
    enqueue("mail")
    register(session, "worker", queues="*", threads=1)
    of_one_that_lives = waiting(session, 60.0)

    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '1 hour'"
    )

    assert (of_one_that_lives, waiting(session, 60.0)) == ([], ["mail"])
