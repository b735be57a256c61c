"""The overview reports faults by evidence, the worst first, each with its page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import MADE, Browser, made
from enqueueing.placed import enqueue
from jobsd.operations import health
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
) -> list[health.Finding]:
    rows = [*(processes or (WORKER,)), *([SUPERVISOR] if running else [])]
    return health.findings(
        health.Evidence(rows, queues or [], overdue_s, claimed or {}, failed)
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
    ],
)
def test_each_finding_has_its_evidence(
    found: list[health.Finding], named: list[tuple[str, str]]
) -> None:
    assert _named(found) == named


def test_a_long_wait_names_the_oldest_queue_and_a_full_capacity() -> None:
    queues = [_queue("mail", ready=3, age_s=211), _queue("mail", ready=1, age_s=90)]

    (busy,) = _found(queues, claimed={1: 4})
    (idle,) = _found(queues[:1], claimed={1: 1})

    assert busy.sentence == (
        "Jobs wait long: the oldest of queue mail for 3m31s, and 1 more queue;"
        " all capacity that takes it is busy (2 of 2 jobs at once)."
    )
    assert idle.sentence == "Jobs wait long: the oldest of queue mail for 3m31s."


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
