"""The queue of a small shop: for screenshots, and for the tests of the browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from enqueueing.placed import claim, enqueue, fail
from jobsd.acts import queues
from jobsd.operations import audit
from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_MAIL_TRACE = """Traceback (most recent call last):
  File "/srv/shop/mail.py", line 41, in welcome
    server.send(message)
  File "/srv/shop/smtp.py", line 12, in send
    raise SMTPServerDisconnected("421 try again later")
smtplib.SMTPServerDisconnected: 421 try again later"""
_REPORT_TRACE = """Traceback (most recent call last):
  File "/srv/shop/reports.py", line 18, in monthly
    raise ValueError(f"no figures for {month}")
ValueError: no figures for 2026-02"""
_ERRORS = (
    (
        *("shop.images.shrink", "images", 1),
        *("ProcessExitError", "killed by signal 9 (OOM kill)", ""),
    ),
    (
        *("shop.reports.monthly", "reports", 2),
        *("ValueError", "no figures for 2026-02", _REPORT_TRACE),
    ),
    (
        *("shop.mail.welcome", "mail", 7),
        *("SMTPServerDisconnected", "421 try again later", _MAIL_TRACE),
    ),
)
_TASKS = (
    (*("heartbeat", "every 5 minutes", "HeartbeatJob", True), "2 min", 812),
    (
        *("monthly_report", "on the 1st of each month at 6:00", "shop.reports.monthly", True),
        *("29 d", 11),
    ),
    (*("clean_up", "every day at 3am", "shop.clean.carts", False), "21 h", 243),
    (*("newsletter", "every monday at 9:00", "shop.mail.newsletter", True), "4 d", 34),
)


def fill(session: Session) -> dict[str, int]:
    """Fill empty tables; return the ids of a failed job and of one that waits."""
    run = session.connection.execute
    ended = [enqueue("mail", name="shop.mail.welcome") for _ in range(120)]
    run("DELETE FROM jobsd.ready_executions")
    _processes(session, [enqueue("images", name="shop.images.shrink") for _ in range(3)])
    waiting = [enqueue("reports", name="shop.reports.daily") for _ in range(24)]
    for n in range(9):
        enqueue("mail", name="shop.mail.reminder", wait=3_600 + 600 * n)
    run("UPDATE jobsd.jobs SET created_at = now() - (400 - id) * interval '7 s'")
    failed = _failures(session)
    run(
        "UPDATE jobsd.jobs SET outcome = 'finished', attempts = 1,"
        " started_at = created_at + interval '40 ms',"
        " finished_at = created_at + interval '310 ms' WHERE id = ANY(%s)",
        (ended,),
    )
    run(
        "UPDATE jobsd.jobs SET"
        ' arguments = jsonb_build_array(id * 7, \'{"$keywords": {"polite": true}}\'::jsonb)'
    )
    for key, to, count in (("tenant/7", 2, 5), ("tenant/12", 2, 1), ("nightly", 1, 2)):
        for _ in range(count):
            enqueue("imports", name="shop.imports.products", key=key, to=to)
    for table in ("jobs", "blocked_executions"):
        # As if no group was named.
        run(
            f"UPDATE jobsd.{table} SET concurrency_key ="
            " 'shop.imports.products/' || substr(concurrency_key, 3)".encode()
        )
    run(
        "UPDATE jobsd.blocked_executions SET position = NULL WHERE job_id NOT IN"
        " (SELECT min(job_id) FROM jobsd.blocked_executions GROUP BY concurrency_key)"
    )
    _imports(session)
    _history(session)
    queues.pause("reports", "the accounts are being closed", by="ann", session=session)
    run("UPDATE jobsd.pauses SET created_at = now() - interval '40 min'")
    _tasks(session)
    for actor, via, act, target, jobs in (
        ("ann", "dashboard", "pause", "queue reports", 0),
        ("bob@web-1", "command", "retry", "jobs with class_name=shop.mail.*", 412),
    ):
        with audit.acting(session, act, target, actor=actor, via=via) as written:
            written.add(jobs)
    return {"failed": failed, "waiting": waiting[0]}


def _failures(session: Session) -> int:
    """Let jobs fail; return the id of one that the mail server refused."""
    last = 0
    for class_name, queue, count, kind, message, stack in _ERRORS:
        for _ in range(count):
            last = enqueue(queue, name=class_name)
            fail(session, last)
            error = json.dumps({"type": kind, "message": message, "stack": stack})
            for table in ("failed_executions", "attempts"):
                session.connection.execute(
                    f"UPDATE jobsd.{table} SET error = %s WHERE job_id = %s".encode(),
                    (error, last),
                )
    return last


def _processes(session: Session, running: list[int]) -> None:
    """Register two trees, of which one worker has jobs and one is silent."""
    kinds = ("supervisor", "monitor", "dispatcher", "scheduler", "worker", "worker")
    row = 0
    for host, first_pid in (("web-1", 2140), ("web-2", 871)):
        supervisor = 0
        for number, kind in enumerate(kinds):
            row = registry.register(
                session,
                kind=kind,
                name=registry.new_name(kind),
                supervisor_id=supervisor,
                metadata={"queues": "mail,reports,images,imports", "threads": 5},
            )
            supervisor = supervisor or row
            session.connection.execute(
                "UPDATE jobsd.processes SET hostname = %s, pid = %s,"
                # They are on other hosts, so nothing is known of them but their heartbeats.
                " metadata = metadata - ARRAY['boot', 'namespace', 'started'],"
                " created_at = now() - interval '3 d' WHERE id = %s",
                (host, first_pid + number, row),
            )
        if running:
            claim(session, row, *running)
            running = []
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '3 min' WHERE id = %s",
        (row,),
    )


def _history(session: Session) -> None:
    """Write what was done in the last day, with a bad quarter of an hour."""
    session.connection.execute(
        "INSERT INTO jobsd.history_minutes SELECT date_trunc('minute', now()) - n * interval"
        " '1 min', queue, size * (60 + 25 * sin(n / 40.0) + (n * 37) % 17), CASE WHEN n"
        " BETWEEN 18 AND 27 AND size = 1 THEN 14 ELSE (n % 13) / 12 END, n % 2, 0, 9, 30,"
        " ARRAY[20, 20, 15, 5 + n % 9, 2, 0, 0, 0, 0, 0, 0, 0],"
        " ARRAY[0, 0, 4, 20, 30, 8 + n % 5, 2, 0, 0, 0, 0, 0]"
        " FROM generate_series(0, 1439) AS n,"
        " (VALUES ('mail', 1), ('images', 0.3), ('imports', 0.2)) AS queue (queue, size)"
    )
    session.connection.execute(
        "INSERT INTO jobsd.history_hours SELECT date_trunc('hour', now()) - n * interval"
        " '1 h', name, 900 * size, size * (n % 3), size * (n % 5), 0, 9, 30, ARRAY[20, 20,"
        " 15, 5, 2, 0, 0, 0, 0, 0, 0, 0], ARRAY[0, 0, 4, 20, 30, 8, size, 0, 0, 0, 0, 0]"
        " FROM generate_series(0, 719) AS n, (VALUES ('shop.mail.welcome', 3),"
        " ('shop.reports.monthly', 1), ('shop.images.shrink', 2)) AS class (name, size)"
    )


def _imports(session: Session) -> None:
    """Let a worker have claimed as many jobs of each key as may run."""
    session.connection.execute(
        "WITH line AS (SELECT job_id, concurrency_key, concurrency_limit, row_number() OVER"
        "  (PARTITION BY concurrency_key ORDER BY job_id) AS slot"
        "  FROM jobsd.blocked_executions), first AS (SELECT * FROM line WHERE slot <="
        "  concurrency_limit), taken AS (DELETE FROM jobsd.blocked_executions WHERE job_id IN"
        "  (SELECT job_id FROM first))"
        " INSERT INTO jobsd.claims (process_id, job_ids, concurrency_key, slot)"
        " SELECT min(process.id), ARRAY[job_id], concurrency_key, slot"
        " FROM first, jobsd.processes AS process WHERE process.kind = 'worker'"
        " GROUP BY job_id, concurrency_key, slot"
    )


def _tasks(session: Session) -> None:
    for task in _TASKS:
        session.connection.execute(
            "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, static,"
            " last_run_at, runs_count, queue_name, source)"
            " VALUES (%s, %s, %s, %s, now() - %s::interval, %s, 'mail',"
            " 'config/recurring.yml:3')",
            task,
        )
    session.connection.execute(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at, created_at, outcome)"
        " SELECT 'heartbeat', now() - n * interval '5 min', now() - n * interval '5 min',"
        " 'enqueued' FROM generate_series(1, 8) AS n"
    )
    session.connection.execute(
        "INSERT INTO jobsd.heartbeat_logs (environment, hostname, executed_at)"
        " SELECT 'production', 'web-' || host, now() - n * interval '5 min'"
        " FROM generate_series(0, 287) AS n, generate_series(1, 2) AS host"
        " WHERE NOT (host = 2 AND n BETWEEN 60 AND 81) AND NOT n BETWEEN 170 AND 176"
    )
