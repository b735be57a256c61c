"""What a job that runs in a worker that drains knows of its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import utc_now

if TYPE_CHECKING:
    from system.commands import Commands

pytestmark = pytest.mark.system

JOBS = """
import time
from jobsd import current_job, job, stopping

@job
def wait():
    print("before:", current_job().deadline)
    while not stopping():
        time.sleep(0.01)
    print("until", current_job().deadline.isoformat())
"""


def test_a_job_knows_until_when_a_worker_that_drains_waits_for_it(run: Commands) -> None:
    run.project.write("shop_jobs.py", JOBS)
    run.project.write(
        "config/queue.yml", "import: [shop_jobs]\nsupervisor: {shutdown_timeout: 30}\n"
    )
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.json("enqueue", "shop_jobs.wait")
        tree.wait_event("before: None")
        reported_at = utc_now()
        tree.terminate()
        gone_at = utc_now()

        said = [event["event"] for event in tree.events() if "until" in event["event"]]
        deadline = datetime.fromisoformat(said[0].removeprefix("until "))
        # Counted from when the worker has heard of it: later on a busy machine.
        assert reported_at < deadline - timedelta(seconds=29)
        assert deadline - timedelta(seconds=30) < gone_at
