"""The pages: what they show, and that nothing in a job becomes part of a page."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing.placed import claim, enqueue, fail
from jobsd.acts import queues
from jobsd.arguments.signature import Signature
from jobsd.heartbeat.log import record
from jobsd.jobs import published
from jobsd.jobs.policy import Policy
from jobsd.jobs.registry import Definition
from jobsd.operations.jobs import examine
from jobsd.operations.shown_arguments import ShownArguments
from jobsd.processes import registry
from jobsd.web import pages
from jobsd.web.reading import Connections

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from jobsd.database.connection import Session, Target
    from rows import Rows

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PAGES = (
    "/",
    "/jobs",
    "/queues",
    "/recurring",
    "/processes",
    "/heartbeats",
    "/limits",
    "/history",
    "/audit",
)


def _send(name: str, token: str, *rest: object) -> None: ...


_SEND = Definition("pages.send", _send, "mail", 0, Policy(), "test", takes=Signature(_send))


def _hostile(session: Session, rows: Rows) -> int:
    """Put what no page may take for its own into every field that shows a text."""
    job_id = enqueue()
    fail(session, job_id)
    enqueue(key=HOSTILE)
    rows(
        "UPDATE jobsd.jobs SET class_name = %s, queue_name = %s,"
        " arguments = jsonb_build_array(%s::text) WHERE id = %s",
        *(HOSTILE, HOSTILE, HOSTILE, job_id),
    )
    error = "jsonb_build_object('type', %s::text, 'message', %s::text, 'stack', %s::text)"
    rows(f"UPDATE jobsd.failed_executions SET error = {error}", HOSTILE, HOSTILE, HOSTILE)
    reported = (
        f"UPDATE jobsd.attempts SET process = %s, log = %s, started_at = now(), error = {error}"
    )
    rows(reported, *[HOSTILE] * 5)
    rows(
        "INSERT INTO jobsd.processes (kind, name, pid, hostname, metadata)"
        " VALUES ('worker', %s, 1, %s, jsonb_build_object('queues', %s::text))",
        *(HOSTILE, HOSTILE, HOSTILE),
    )
    rows("INSERT INTO jobsd.pauses VALUES (%s, %s, %s)", HOSTILE, HOSTILE, HOSTILE)
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, description, source)"
        " VALUES (%s, 'every hour', %s, %s, %s)",
        *[HOSTILE] * 4,
    )
    rows(
        "INSERT INTO jobsd.history_hours VALUES"
        " (date_trunc('hour', now()), %s, 1, 1, 0, 0, 0, 0, '{1}', '{1}')",
        HOSTILE,
    )
    rows(
        "INSERT INTO jobsd.audit (actor, via, act, target) VALUES (%s, 'command', 'retry', %s)",
        *(HOSTILE, HOSTILE),
    )
    record(session, HOSTILE, HOSTILE)
    return job_id


def test_nothing_that_a_job_carries_becomes_part_of_a_page(
    browser: Browser, session: Session, rows: Rows
) -> None:
    job_id = _hostile(session, rows)
    asked = (*PAGES, f"/jobs/{job_id}", f"/recurring/{HOSTILE}", f"/jobs?q={HOSTILE}")

    pages = {path: browser.get(path) for path in asked}

    assert {path: page.status for path, page in pages.items()} == dict.fromkeys(asked, 200)
    for path, page in pages.items():
        assert "alert(1)" in page.text, path
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
        tags = re.sub(r'"[^"]*"', "", page.text)
        assert re.search(r"<[^>]* on\w+=|<style|style=", tags) is None, path
        rendered = re.findall(r'<div id="live" data-now="([^"]*)"', page.text)
        assert [datetime.fromisoformat(each).tzinfo for each in rendered] == [UTC], path
    assert "What it printed and logged" in pages[f"/jobs/{job_id}"].text


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_page_advises_the_next_step(browser: Browser, path: str) -> None:
    page = browser.get(path)

    assert page.status == 200
    assert re.search(
        r'class="empty"|class="muted">None came|bin/jobs|recurring\.yml', page.text
    )


@pytest.mark.parametrize("path", ["/", "/nothing", "/jobs/1", "/jobs/x", "/assets/0/style.css"])
def test_every_answer_lets_nothing_inline_run(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers

    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


def test_the_page_of_a_job_explains_why_it_is_not_running(
    browser: Browser, session: Session
) -> None:
    job_id = enqueue()
    queues.pause("mail", "the mail server is down", session=session)

    page = browser.get(f"/jobs/{job_id}").text

    assert "Why it is not running" in page
    assert "the mail server is down" in page
    assert "no running worker takes jobs from queue" in page


def test_the_page_of_a_job_has_its_attempts(browser: Browser, session: Session) -> None:
    job_id = enqueue()
    fail(session, job_id)

    page = browser.get(f"/jobs/{job_id}").text

    assert "Attempt 1, ended" in page
    assert "told to fail" in page


def test_the_page_of_a_job_has_its_progress_and_its_result(
    browser: Browser, rows: Rows
) -> None:
    job_id = enqueue()
    rows("UPDATE jobsd.jobs SET outcome = 'finished', finished_at = now()")
    rows(
        "INSERT INTO jobsd.results VALUES (%s, 'finished', jsonb_build_array(%s::text),"
        " now() + interval '1 hour')",
        *(job_id, HOSTILE),
    )

    page = browser.get(f"/jobs/{job_id}").text

    assert "<dt>Result</dt>" in page
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_a_job_that_is_not_there_is_not_found(browser: Browser) -> None:
    assert browser.get("/jobs/4711").status == 404
    assert browser.get("/jobs/" + "9" * 40).status == 404


def test_the_api_returns_the_documents_of_the_commands(
    browser: Browser, session: Session
) -> None:
    job_id = enqueue()
    document = examine(session, job_id, 60.0)
    facts = document.facts(ShownArguments((), lambda _: None))

    got: Any = browser.get(f"/api/v1/jobs/{job_id}").json()

    assert got.keys() == document.document(facts).keys()
    assert [each["reason"] for each in got["why"]] == ["no_worker"]
    assert browser.get("/api/v1/queues").json()[0]["name"] == "mail"
    assert [each["id"] for each in browser.get("/api/v1/jobs").json()["jobs"]] == [job_id]
    assert browser.get("/api/v1/nothing").json() == {"error": "There is no such page."}


def test_arguments_that_are_hidden_are_on_no_page(browser: Browser, rows: Rows) -> None:
    job_id = enqueue()
    arguments = '[{"$keywords": {"token": "s3cret", "user": 5}}]'
    rows("UPDATE jobsd.jobs SET arguments = %s::jsonb", arguments)

    pages = [browser.get(path).text for path in ("/jobs", f"/jobs/{job_id}", "/api/v1/jobs")]

    assert all("s3cret" not in page and "[FILTERED]" in page for page in pages)


def test_positional_arguments_with_known_names_are_shown(
    browser: Browser, session: Session, rows: Rows
) -> None:
    known, unknown = enqueue(name="pages.send"), enqueue(name="pages.unknown")
    published.publish(session, [_SEND])
    for name in ("pages.send", "pages.unknown"):
        arguments = '["ann", "s3cret", {"token": "s3cret", "size": 5}, 7]'
        rows(
            "UPDATE jobsd.jobs SET arguments = %s::jsonb WHERE class_name = %s", arguments, name
        )

    listed, page = (unescape(browser.get(path).text) for path in ("/jobs", f"/jobs/{known}"))

    shown = "('ann', [FILTERED], {'size': 5, 'token': [FILTERED]}, 7)"
    assert f"send{shown}" in page
    assert shown in listed
    assert "unknown([FILTERED], [FILTERED]" in browser.get(f"/jobs/{unknown}").text
    assert "s3cret" not in page + listed


def test_an_older_page_of_jobs_begins_behind_the_last(browser: Browser) -> None:
    ids = [enqueue() for _ in range(51)]

    first = browser.get("/jobs").text
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = browser.get(older.replace("&amp;", "&")).text

    assert f"/jobs/{ids[-1]}" in first
    assert f'/jobs/{ids[0]}"' not in first
    assert re.findall(r'id="job-(\d+)"', second) == [str(ids[0])]


def test_a_page_is_read_in_a_transaction_that_can_change_nothing(browser: Browser) -> None:
    connections = browser.application._connections

    with (
        connections.reading() as session,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        session.connection.execute("DELETE FROM jobsd.jobs")


def test_a_claimed_job_is_found_by_its_host(browser: Browser, session: Session) -> None:
    worker = registry.register(
        session, kind="worker", name="w", supervisor_id=0, metadata={"queues": "*"}
    )
    job_id = enqueue()
    claim(session, worker, job_id)

    found = browser.get("/api/v1/jobs?q=state:claimed+host:nowhere").json()["jobs"]

    assert found == []
    assert f'id="job-{job_id}"' in browser.get("/jobs?q=state:claimed").text


def test_a_job_shows_the_output_of_its_attempts(browser: Browser, session: Session) -> None:
    job_id = enqueue()
    assert "What it printed" not in browser.get(f"/jobs/{job_id}").text
    session.connection.execute(
        "INSERT INTO jobsd.attempts (job_id, attempt, started_at, ended_at, log)"
        " VALUES (%s, 1, now(), now(), '<b>one\nline</b>')",
        (job_id,),
    )

    assert "&lt;b&gt;one\nline&lt;/b&gt;" in browser.get(f"/jobs/{job_id}").text
    assert "Attempt 1" in browser.get(f"/jobs/{job_id}").text


def test_the_page_of_queues_shows_workers_and_finished_jobs(
    browser: Browser, session: Session, rows: Rows
) -> None:
    for queue in ("mail", "bulk"):
        enqueue(queue)
    for name, metadata in (("a", {"queues": "mail"}), ("b", {"queues": "*", "quiet": True})):
        registry.register(session, kind="worker", name=name, supervisor_id=0, metadata=metadata)
    rows(
        "INSERT INTO jobsd.history_minutes (minute, queue_name, finished, failed, retried,"
        " discarded, wait_s, run_s, waits, runs)"
        " SELECT now() - n * interval '40 min', 'mail', 700, 0, 0, 0, 0, 0, '{}', '{}'"
        " FROM generate_series(0, 2) AS n"
    )

    bulk, mail = browser.get("/queues").text.partition("<tbody>")[2].split("</tr>")[:2]

    assert 'title="No living worker takes jobs of this queue">none<' in bulk
    assert '<td class="number">1</td>' in mail
    assert '<a href="/history?queue=mail">1,400</a>' in mail


def test_queues_stay_in_the_order_of_their_names_however_long_they_are(
    browser: Browser,
) -> None:
    for queue in ("slow", "mail", "mail", "bulk"):
        enqueue(queue)

    page = browser.get("/queues").text

    assert re.findall(r'<tr id="queue-(\w+)"', page) == ["bulk", "mail", "slow"]


def test_the_overview_names_a_queue_without_a_worker(
    browser: Browser, session: Session
) -> None:
    enqueue("mail")
    enqueue("bulk")
    for kind, metadata in (("supervisor", {}), ("worker", {"queues": "mail"})):
        registry.register(session, kind=kind, name=kind, supervisor_id=0, metadata=metadata)

    page = browser.get("/").text

    assert "Jobs wait in queues from which no running worker claims: bulk." in page


def test_all_kinds_of_failures_are_on_the_overview(
    browser: Browser, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_NAMED", 2)
    for kind in range(3):
        fail(session, enqueue(name=f"shop.kind{kind}"))

    shown, folded = browser.get("/").text.split("1 more kind of failure")

    assert ("shop.kind2" in shown, "shop.kind1" in shown, "shop.kind0" in shown) == (
        True,
        True,
        False,
    )
    assert "shop.kind0" in folded


def test_the_pages_of_a_job_and_of_the_audit_have_exact_times(browser: Browser) -> None:
    job_id = enqueue()
    browser.post(f"/jobs/{job_id}/discard")

    for path in (f"/jobs/{job_id}", "/audit"):
        assert re.search(r">\d{4}-\d\d-\d\d [\d:]{8} UTC</time>", browser.get(path).text), path


def test_what_pages_ask_is_prepared_once(target: Target) -> None:
    prepared: list[Any] = []
    with closing(Connections(lambda: target)) as connections:
        for _ in range(2):
            with connections.reading() as session:
                session.connection.execute("SELECT %s::integer", (1,))
                prepared += session.connection.execute(
                    "SELECT name FROM pg_prepared_statements", prepare=False
                ).fetchall()

    first, second = prepared
    assert first == second
