"""Ten thousand tasks, a thousand of them for each second, on one scheduler.

`python -m benchmarks recurring` measures; the bounds here only tell of another order of
magnitude, on a machine that does other things too.
"""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

from waiting import Stopwatch

from .conftest import RUNS, task

if TYPE_CHECKING:
    from harness.event_recorder import Emitted
    from rows import Rows

    from .conftest import MakeScheduler

OFTEN, RARE = 1000, 9000


def test_ten_thousand_tasks_start_soon_and_run_in_time_and_once(
    make_scheduler: MakeScheduler, rows: Rows, emitted: Emitted
) -> None:
    often = [task(f"often {n}", on_missed="all") for n in range(OFTEN)]
    rare = [task(f"rare {n}", phrase=f"{n % 60} {n // 60 % 24} * * *") for n in range(RARE)]
    driven = make_scheduler(*often, *rare)
    watch, began_s = Stopwatch(), process_time()

    driven.until(lambda: "recurring.loaded" in dict(emitted))
    # Of our processor: others may keep us waiting for one ten times as long.
    started_s = process_time() - began_s
    driven.until(lambda: rows(RUNS)[0] >= 3 * OFTEN)

    # Measured: 0.5 s, and 0.05 s; beside six other suites 2.7 s of processor, and 10 s.
    assert (dict(emitted)["recurring.loaded"]["tasks"], started_s < 15) == (OFTEN + RARE, True)
    ((once, late_s),) = rows(
        "SELECT count(*) = count(DISTINCT job_id),"
        " extract(epoch FROM max(created_at - run_at))::float8"
        " FROM jobsd.recurring_executions WHERE job_id IS NOT NULL"
    )
    assert (once, watch.of(late_s) < 30) == (True, True)
    assert rows("SELECT count(*) FROM jobsd.jobs") == rows(RUNS)
    steps = rows(
        "SELECT DISTINCT run_at - lag(run_at) OVER (PARTITION BY task_key ORDER BY run_at)"
        " = interval '1 s' FROM jobsd.recurring_executions"
        " WHERE task_key LIKE 'often%%' AND job_id IS NOT NULL"
    )
    assert set(steps) == {None, True}
