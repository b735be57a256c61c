"""Who listens past a pooler says anew that it sleeps once its ear was broken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.database import listener

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

    from .conftest import Count, MakeWorker

_SERVER_HAS_CRASHED = """
WITH emptied AS (DELETE FROM jobsd.sleepers)
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name LIKE '%wake-ups' AND datname = current_database()
"""


@pytest.fixture
def target(target: Target, monkeypatch: pytest.MonkeyPatch) -> Target:
    """The same database, with a way past a pooler."""
    monkeypatch.setattr(listener, "RECONNECT_AFTER_S", 0.1)
    return replace(target, listen_url=target.url)


@pytest.mark.failure(
    "The server crashes, or a standby takes over, behind a pooler: only the listener breaks,"
    " and the table of idle registrations is empty.",
    "The worker registers as idle again, and is woken as before.",
)
def test_a_worker_repeats_its_lost_idle_registration(
    make_worker: MakeWorker, session: Session, count: Count
) -> None:
    # Else it would register anew, since there is no monitor that beats for it.
    driven = make_worker(trust_s=3600)
    driven.until(lambda: count("sleepers"))

    session.connection.execute(_SERVER_HAS_CRASHED.encode())

    driven.until(lambda: count("sleepers"))
