"""Ten thousand tasks, a thousand of them for each second, on one scheduler.

`python -m benchmarks recurring` measures; the bounds here only tell of another order of
magnitude, on a machine that does other things too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waiting import Stopwatch

from .conftest import RUNS, task

if TYPE_CHECKING:
    from rows import Rows

    from .conftest import Emitted, MakeScheduler

OFTEN, RARE = 1000, 9000


@pytest.mark.xfail(
    strict=False, reason="a known defect: the start of 10,000 tasks is slow on a busy machine"
)
def test_ten_thousand_tasks_start_soon_and_run_in_time_and_once(
    make_scheduler: MakeScheduler, rows: Rows, emitted: Emitted
) -> None:
    often = [task(f"often {n}", on_missed="all") for n in range(OFTEN)]
    rare = [task(f"rare {n}", phrase=f"{n % 60} {n // 60 % 24} * * *") for n in range(RARE)]
    driven = make_scheduler(*often, *rare)
    watch = Stopwatch()

    driven.until(lambda: "recurring.loaded" in dict(emitted))
    started_s = watch.took()
    driven.until(lambda: rows(RUNS)[0] >= 3 * OFTEN)

    # Measured: 0.5 s, and 0.05 s.
    assert (dict(emitted)["recurring.loaded"]["tasks"], started_s < 5) == (OFTEN + RARE, True)
    ((once, late_s),) = rows(
        "SELECT count(*) = count(DISTINCT job_id),"
        " extract(epoch FROM max(created_at - run_at))::float8"
        " FROM jobsd.recurring_executions WHERE job_id IS NOT NULL"
    )
    assert (once, watch.of(late_s) < 5) == (True, True)
    assert rows("SELECT count(*) FROM jobsd.jobs") == rows(RUNS)
    steps = rows(
        "SELECT DISTINCT run_at - lag(run_at) OVER (PARTITION BY task_key ORDER BY run_at)"
        " = interval '1 s' FROM jobsd.recurring_executions"
        " WHERE task_key LIKE 'often%%' AND job_id IS NOT NULL"
    )
    assert set(steps) == {None, True}
