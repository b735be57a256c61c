"""Jobs that fail by the thousand are a few lines of the log, and as many attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from system.jobs import LEDGER
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

JOBS = 3000


@pytest.mark.parametrize("flags", [(), ("--log-jobs",)])
@pytest.mark.failure(
    "Thousands of jobs fail within seconds.",
    "The first lines of each second are logged, the others are summed up; each failure is in"
    " `attempts`.",
)
def test_a_storm_of_failures_is_summed_up(
    flags: tuple[str, ...], project: Project, query: Query
) -> None:
    project.write(
        "trial_jobs.py",
        LEDGER + "from jobsd import job\n\n@job\ndef fail():\n    raise ValueError('no')\n",
    )
    project.write("config/queue.yml", "import: [trial_jobs]\n")
    with project.start(*flags) as tree:
        tree.wait_event("supervisor.ready")
        query(f"SELECT jobsd.enqueue('trial_jobs.fail', '[]') FROM generate_series(1, {JOBS})")
        wait_until(lambda: query("SELECT count(*) FROM jobsd.attempts") == [(JOBS,)])
        tree.terminate()

    reported = len(tree.events("job.failed"))
    summed = sum(line["lines"] for line in tree.events("logs.summed"))
    assert reported + summed == JOBS
    assert reported == JOBS if flags else 20 <= reported < JOBS / 4
    assert len(tree.events("job.released")) < 100
