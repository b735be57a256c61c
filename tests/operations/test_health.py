"""The overview reports faults by evidence, the worst first, each with its page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import MADE, Browser, made
from enqueueing.placed import claim, enqueue
from jobsd.acts.everything import PauseOfEverything
from jobsd.operations import health
from jobsd.operations.processes import processes
from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.enqueueing.client import Client
    from rows import Rows

Row = dict[str, Any]


def _process(kind: str, number: int, life: str = "alive", **metadata: Any) -> Row:
    host = {"pid": number, "hostname": "h"}
    return {"id": number, "kind": kind, "life": life, "metadata": metadata, **host}


def _queue(name: str, *, ready: int = 0, paused: bool = False, age_s: float = 0.0) -> Row:
    age = timedelta(seconds=age_s) if ready else None
    return {"name": name, "ready": ready, "paused": paused, "oldest_age": age}


SUPERVISOR = _process("supervisor", 9)
WORKER = _process("worker", 1, queues="mail", threads="2")
DISPATCHER = _process("dispatcher", 2)


def _found(
    queues: list[Row] | None = None,
    *processes: Row,
    running: bool = True,
    overdue_s: float = 0.0,
    claimed: dict[int, int] | None = None,
    failed: tuple[int, int] = (0, 0),
    targets_s: dict[str, float] | None = None,
) -> list[health.Finding]:
    rows = [*(processes or (WORKER,)), *([SUPERVISOR] if running else [])]
    return health.findings(
        health.Evidence(rows, queues or [], overdue_s, claimed or {}, failed, targets_s or {})
    )


def _named(found: list[health.Finding]) -> list[tuple[str, str]]:
    return [(each.name, each.severity) for each in found]


def test_a_tree_without_faults_has_no_findings() -> None:
    assert _found([_queue("mail", ready=5, age_s=3), _queue("other")], overdue_s=1) == []


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (_found(running=False, overdue_s=99), [("not_running", "bad")]),
        (_found([_queue("mail", paused=True)]), [("paused", "warning")]),
        (_found([_queue("other", ready=1, age_s=99)]), [("no_worker", "bad")]),
        (_found([_queue("mail", ready=1, paused=True, age_s=99)]), [("paused", "warning")]),
        (_found(None, _process("worker", 1, "silent")), [("processes", "warning")]),
        (_found(overdue_s=99), [("no_dispatcher", "bad")]),
        (_found(None, WORKER, DISPATCHER, overdue_s=99), [("dispatch_late", "warning")]),
        (
            _found(None, WORKER, _process("dispatcher", 2, "gone"), overdue_s=99),
            [("no_dispatcher", "bad"), ("processes", "warning")],
        ),
        (_found([_queue("mail", ready=1, age_s=61)]), [("late", "warning")]),
        (_found(failed=(10, 0)), [("failures", "bad")]),
        (_found(failed=(9, 0)), []),
        (_found(failed=(18, 108)), []),
        (_found(failed=(30, 108)), [("failures", "bad")]),
        (
            _found([_queue("mail", paused=True)], failed=(30, 108)),
            [("failures", "bad"), ("paused", "warning")],
        ),
    ],
)
def test_each_finding_has_its_evidence(
    found: list[health.Finding], named: list[tuple[str, str]]
) -> None:
    assert _named(found) == named


def test_a_pause_of_everything_explains_all_that_waits() -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    evidence = health.Evidence(
        [WORKER, SUPERVISOR],
        [_queue("mail", ready=1, paused=True, age_s=99), _queue("other", ready=1, age_s=99)],
        overdue_s=99.0,
        claimed={},
        failed=(30, 108),
        pause=PauseOfEverything("the database moves", "ann@db", since),
    )

    found = health.findings(evidence)

    assert _named(found) == [("everything_paused", "bad"), ("failures", "bad")]
    assert found[0].sentence == (
        "Everything is paused: no job starts until `queues resume --all`;"
        " it was paused 5m ago by ann@db: the database moves."
    )


def test_of_many_queues_without_a_worker_five_are_named() -> None:
    (found,) = _found([_queue(name, ready=1) for name in "abcdefg"])

    assert found.sentence.endswith("claims: a, b, c, d, e and 2 more.")


def test_of_many_silent_processes_three_are_named() -> None:
    (found,) = _found(None, *(_process("worker", number, "silent") for number in range(1, 5)))

    assert found.sentence == (
        "4 of 5 processes have no recent heartbeat:"
        " worker 1 on h, worker 2 on h, worker 3 on h."
    )


def test_a_long_wait_names_the_oldest_queue_and_a_full_capacity() -> None:
    worker = _process("worker", 1, queues="mail,slow", threads="2")
    queues = [_queue("mail", ready=3, age_s=211), _queue("slow", ready=1, age_s=90)]

    (both,) = _found(queues, worker, claimed={1: 4})
    (busy,) = _found(queues[:1], claimed={1: 2})
    (idle,) = _found(queues[:1], claimed={1: 1})
    everything = _process("worker", 1, queues="*", threads="2")
    (three,) = _found([*queues, _queue("rare", ready=1, age_s=70)], everything)

    waits = "Jobs wait too long: the oldest of queue mail for 3m31s (target 1m)"
    assert both.sentence == (
        f"{waits}, and 1 more queue;"
        " all capacity that takes 2 queues is busy (2 of 2 jobs at once)."
    )
    assert busy.sentence == (
        f"{waits}; all capacity that takes it is busy (2 of 2 jobs at once)."
    )
    assert idle.sentence == f"{waits}."
    assert three.sentence.startswith(f"{waits}, and 2 more queues")


@pytest.mark.parametrize(
    ("targets_s", "late"),
    [
        ({}, "slow for 1m40s (target 1m)"),
        ({"default": 300.0}, None),
        ({"default": 300.0, "mail": 10.0}, "mail for 50s (target 10s)"),
        ({"mail": 10.0}, "mail for 50s (target 10s), and 1 more queue"),
        ({"slow": 100.0, "mail": 50.0}, None),
    ],
)
def test_the_queue_that_is_late_by_most_of_its_own_target_is_named(
    targets_s: dict[str, float], late: str | None
) -> None:
    worker = _process("worker", 1, queues="*", threads="2")
    queues = [_queue("mail", ready=1, age_s=50), _queue("slow", ready=1, age_s=100)]

    found = _found(queues, worker, targets_s=targets_s)

    assert [each.sentence for each in found] == (
        [f"Jobs wait too long: the oldest of queue {late}."] if late else []
    )


def test_a_full_capacity_names_the_class_that_most_of_it_runs(
    session: Session, default_client: Client, rows: Rows
) -> None:
    del default_client
    worker = _register(session, "worker", queues="mail", threads=3)
    elsewhere = _register(session, "worker", queues="bulk", threads=9)
    _register(session, "supervisor")
    slow = [enqueue(name="shop.slow_report") for _ in range(3)]
    others = [enqueue(name="shop.other") for _ in range(4)]
    ended = [enqueue(name="shop.other")]
    rows("UPDATE jobsd.jobs SET outcome = 'finished' WHERE id = %s", ended[0])
    claim(session, worker, *slow[:2], *others[:1])
    claim(session, elsewhere, *others[1:])
    _run(rows, worker, *slow[:2], *others[:1], *ended)
    _run(rows, elsewhere, *others[1:])
    queues = [_queue("mail", ready=1, age_s=30)]

    (found,) = health.judge(session, processes(session, 60.0), queues, {"mail": 10.0})

    assert found.sentence == (
        "Jobs wait too long: the oldest of queue mail for 30s (target 10s); all capacity that"
        " takes it is busy (3 of 3 jobs at once), 2 with shop.slow_report."
    )


def _register(session: Session, kind: str, **metadata: Any) -> int:
    name = registry.new_name(kind)
    return registry.register(session, kind=kind, name=name, supervisor_id=0, metadata=metadata)


def _run(rows: Rows, process: int, *job_ids: int) -> None:
    running = json.dumps(dict.fromkeys(map(str, job_ids), 1.0))
    rows("UPDATE jobsd.processes SET running = %s WHERE id = %s", running, process)


def test_the_overview_says_that_no_dispatcher_runs(
    target: Target, session: Session, default_client: Client, rows: Rows
) -> None:
    del default_client
    name = registry.new_name("supervisor")
    registry.register(session, kind="supervisor", name=name, supervisor_id=0, metadata={})
    enqueue(wait=3_600)
    browser = Browser(made(target))
    before = browser.get("/").text
    rows("UPDATE jobsd.scheduled_executions SET scheduled_at = now() - interval '4 minutes'")
    after = browser.get("/").text
    MADE.pop().close()

    assert 'class="health good"' in before
    assert 'class="health bad"' in after
    assert '<a href="/processes">No dispatcher runs, and scheduled jobs are overdue' in after
