"""A job that kills its worker: the truth is told everywhere, and it has no more attempts."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.database.statements import channel
from ports import free_port
from system.jobs import enqueue
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[Any, ...]]]

pytestmark = pytest.mark.system

_BESIDE = 20
_MAKE_DUE = f"""
    WITH due AS (UPDATE jobsd.scheduled_executions SET scheduled_at = now() RETURNING job_id)
    SELECT pg_notify('{channel("jobsd", "due")}', 'due'), count(*) FROM due HAVING count(*) > 0
"""
_ENQUEUE = f"""
    SELECT jobsd.enqueue('trial_jobs.die', priority => -1, max_attempts => 3,
                         retries_crash => true),
        (SELECT count(jobsd.enqueue('trial_jobs.quick', jsonb_build_array(n)))
         FROM generate_series(1, {_BESIDE}) n)
"""

_ENDINGS = """
import threading
from jobsd import Discard, Snooze, constant
from jobsd.performing.pool import Pool

unrecorded = threading.Event()
pools = []

def hold_up(pool):
    pools.append(pool)
    return []

class MailServerError(Exception): ...

@job(max_attempts=3, retry_on=MailServerError, backoff=constant(1000))
def end_as(how):
    assert unrecorded.wait(30)
    if how == "finished":
        return
    raise {
        "failed": ValueError("a bug"),
        "retried": MailServerError("550 down"),
        "discarded": Discard(),
        "snoozed": Snooze(1000),
    }[how]

@job
def die_beside(ended):
    Pool.collect = hold_up
    unrecorded.set()
    while not (pools and len(pools[0]._runs) == ended):
        time.sleep(0.001)
    os.kill(os.getpid(), 9)
"""
_HOW = ("finished", "failed", "retried", "discarded", "snoozed")
_ENQUEUE_ENDINGS = f"""
    SELECT how, jobsd.enqueue('trial_jobs.end_as', jsonb_build_array(how), max_attempts => 3)
    FROM unnest(ARRAY{list(_HOW)}) AS how
"""


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.failure(
    "a job kills its worker each time it runs",
    "it is tried as often as `max_attempts` says, and then has failed; jobs that were claimed"
    " behind it run and lose no attempt; attempts, log and metrics name the signal, the size"
    " and the job of each thread",
)
@pytest.mark.behaviour(22)
def test_a_job_that_kills_its_worker_has_its_attempts_and_its_neighbours_pay_nothing(
    project: Project, query: Query
) -> None:
    port = free_port()
    # One thread, so that all the others are claimed behind it and none of them runs.
    worker = "{queues: '*', threads: 1, prefetch: 50}"
    configuration = f"import: [trial_jobs]\ndispatchers: [{{}}]\nworkers: [{worker}]\n"
    project.write("config/queue.yml", configuration)

    with project.start(JOBSD_METRICS_BIND=f"127.0.0.1:{port}") as tree:
        tree.wait_event("supervisor.ready")
        ((killer, _),) = query(_ENQUEUE)
        for retry in (1, 2):
            tree.wait_event("job.retried", retry)
            wait_until(lambda: query(_MAKE_DUE))
        tree.wait_event("job.failed")
        done = "SELECT count(*) FROM jobsd.jobs WHERE outcome = 'finished' AND attempts = 1"
        wait_until(lambda: query(done) == [(_BESIDE,)])

        tried = query("SELECT job_id, attempt, error FROM jobsd.attempts ORDER BY attempt")
        assert [row[:2] for row in tried] == [(killer, 1), (killer, 2), (killer, 3)]
        for *_, error in tried:
            assert (error["type"], error["signal"], error["exit_code"], error["reason"]) == (
                "ProcessExitError",
                "SIGKILL",
                None,
                "signal",
            )
            assert error["rss_kib"] > 1000
            assert error["threads"] == {"0": killer}
        assert query("SELECT job_id FROM jobsd.failed_executions") == [(killer,)]
        replaced = tree.wait_event("process.replaced", 3)
        assert (replaced["kind"], replaced["signal"], replaced["reason"]) == (
            "worker",
            "SIGKILL",
            "signal",
        )
        assert replaced["running"] == {"0": killer}
        assert replaced["max_rss_kib"] > 1000
        counted = 'jobsd_process_restarts_total{kind="worker",reason="signal"} 3.0'
        assert counted in _metrics(port)
        tree.terminate()


@pytest.mark.failure(
    "a job kills its worker just after its neighbours have ended, and before that is recorded",
    "each neighbour gets its own outcome: one that has raised is retried after its own wait,"
    " or has failed by its own error; only the job that killed the worker has crashed",
)
@pytest.mark.behaviour(22)
def test_a_neighbour_that_has_ended_pays_nothing_though_it_is_not_recorded_yet(
    project: Project, query: Query
) -> None:
    module = project.root / "trial_jobs.py"
    module.write_text(module.read_text(encoding="utf-8") + _ENDINGS, encoding="utf-8")
    threads = len(_HOW) + 1
    worker = f"{{queues: '*', threads: {threads}}}"
    project.write("config/queue.yml", f"import: [trial_jobs]\nworkers: [{worker}]\n")

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        jobs: dict[str, int] = dict(query(_ENQUEUE_ENDINGS))
        killer = enqueue(query, "die_beside", len(_HOW))
        recovered = tree.wait_event("process.recovered")
        assert {how: recovered[how] for how in _HOW} == {**dict.fromkeys(_HOW, 1), "failed": 2}
        tree.terminate()

    errors: dict[int, str] = dict(query("SELECT job_id, error->>'type' FROM jobsd.attempts"))
    assert errors == {
        killer: "ProcessExitError",
        jobs["failed"]: "ValueError",
        jobs["retried"]: "trial_jobs.MailServerError",
        jobs["discarded"]: "Discard",
    }
    due = query("SELECT job_id FROM jobsd.scheduled_executions WHERE scheduled_at > now()")
    assert {row[0] for row in due} == {jobs["retried"], jobs["snoozed"]}
    attempts: dict[int, int] = dict(query("SELECT id, attempts FROM jobsd.jobs"))
    assert attempts == {**dict.fromkeys(attempts, 1), jobs["snoozed"]: 0}
