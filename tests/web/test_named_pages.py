"""Each queue, class and host has a page, and its name leads there from wherever it stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import claim, enqueue, fail
from jobsd.acts import queues
from jobsd.heartbeat.log import record
from jobsd.jobs.registry import check_class
from jobsd.processes import registry

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from jobsd.database.connection import Session
    from rows import Rows

CLASS = "shop.mail.welcome"


def _filled(session: Session, rows: Rows) -> None:
    """Make jobs of two queues and classes: one runs, one has failed, two are ready."""
    worker = registry.register(
        session,
        kind="worker",
        name="w",
        supervisor_id=0,
        metadata={"queues": "mail,slow", "threads": 3},
    )
    rows("UPDATE jobsd.processes SET hostname = 'web-1'")
    rows(
        "INSERT INTO jobsd.worker_classes (process_id, queues, lanes)"
        " VALUES (%s, '{mail,slow}', ARRAY[jobsd.lane_of(%s)])",
        *(worker, CLASS),
    )
    fail(session, enqueue("mail", name=CLASS))
    fail(session, enqueue("slow", name="shop.other"))
    claim(session, worker, enqueue("mail", name=CLASS))
    enqueue("mail", name=CLASS)
    enqueue("mail", name="shop.other")
    record(session, "test", "web-1")


def _found(browser: Browser, path: str) -> Any:
    return browser.get(f"/api/v1{path}").json()


def test_the_page_of_a_queue_has_its_jobs_errors_and_workers(
    browser: Browser, session: Session, rows: Rows
) -> None:
    _filled(session, rows)
    queues.pause("mail", "a test", by="ann", session=session)

    page, found = browser.get("/queues/mail").text, _found(browser, "/queues/mail")

    assert [job["class_name"] for job in found["running"]] == [CLASS]
    assert [job["class_name"] for job in found["oldest"]] == [CLASS, "shop.other"]
    assert [(each["class_name"], each["jobs"]) for each in found["failures"]] == [(CLASS, 1)]
    assert [each["hostname"] for each in found["workers"]] == ["web-1"]
    assert (found["ready"], found["paused_by"]) == (2, "ann")
    assert 'action="/queues/mail/resume"' in page


def test_a_queue_that_has_never_had_a_job_has_a_page_and_can_be_paused(
    browser: Browser,
) -> None:
    page = browser.get("/queues/new").text

    assert 'action="/queues/new/pause"' in page
    assert _found(browser, "/queues/new")["ready"] == 0


def test_the_page_of_a_class_has_its_jobs_errors_and_workers(
    browser: Browser, session: Session, rows: Rows
) -> None:
    _filled(session, rows)
    rows(
        "INSERT INTO jobsd.history_hours VALUES"
        " (date_trunc('hour', now()), %s, 3, 1, 0, 0, 0, 0, '{1}', '{1}')",
        CLASS,
    )

    page, found = browser.get(f"/classes/{CLASS}").text, _found(browser, f"/classes/{CLASS}")

    assert [job["queue_name"] for job in found["running"]] == ["mail"]
    assert [job["queue_name"] for job in found["oldest"]] == ["mail"]
    assert [(each["class_name"], each["jobs"]) for each in found["failures"]] == [(CLASS, 1)]
    assert [each["hostname"] for each in found["workers"]] == ["web-1"]
    assert "3 finished" in page
    assert check_class(CLASS) in page


def test_a_class_that_no_worker_has_published_is_said_so(browser: Browser) -> None:
    assert "No living worker has published it" in browser.get("/classes/shop.never").text


def test_errors_of_waiting_retries_are_on_both_pages(browser: Browser, rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.attempts (job_id, attempt, started_at, ended_at, error)"
        " VALUES (%s, 1, now(), now(), %s)",
        *(enqueue("mail", name=CLASS, wait=60), json.dumps({"type": "E", "message": "m"})),
    )
    rows("UPDATE jobsd.jobs SET attempts = 1")

    for path in ("/queues/mail", f"/classes/{CLASS}"):
        assert [each["jobs"] for each in _found(browser, path)["retrying"]] == [1]
    for path in ("/queues/other", "/classes/shop.other"):
        assert _found(browser, path)["retrying"] == []


def test_the_page_of_a_host_has_its_load_capacity_and_jobs(
    browser: Browser, session: Session, rows: Rows
) -> None:
    _filled(session, rows)
    figures = {"load": 1.5, "cpus": 2, "memory_bytes": 2**30, "used_bytes": 2**29}
    registry.register(session, kind="supervisor", name="s", supervisor_id=0, metadata={})
    rows("UPDATE jobsd.processes SET hostname = 'web-1', machine = %s", json.dumps(figures))

    found = _found(browser, "/hosts/web-1")

    assert {name: found[name] for name in figures} == figures
    assert (found["busy"], found["capacity"], found["hostname"]) == (1, 3, "web-1")
    assert {each["kind"] for each in found["processes"]} == {"supervisor", "worker"}
    assert [job["class_name"] for job in found["running"]] == [CLASS]
    for path in ("/hosts/web-1", "/processes"):
        page = browser.get(path).text
        assert "1.5 of 2 CPUs" in page
        assert "512 MiB of 1.0 GiB" in page
        assert "1 of 3" in page


def test_a_host_without_a_process_is_not_found(browser: Browser) -> None:
    assert browser.get("/hosts/web-9").status == 404


@pytest.mark.parametrize(
    ("path", "links"),
    [
        ("/", ["/queues/mail", f"/classes/{CLASS}", "/hosts/web-1"]),
        ("/jobs", ["/queues/mail", f"/classes/{CLASS}", "/hosts/web-1"]),
        ("/queues", ["/queues/mail"]),
        ("/processes", ["/hosts/web-1"]),
        ("/heartbeats", ["/hosts/web-1"]),
        ("/history", [f"/classes/{CLASS}"]),
        ("/queues/mail", [f"/classes/{CLASS}", "/hosts/web-1"]),
        (f"/classes/{CLASS}", ["/queues/mail", "/hosts/web-1"]),
        ("/hosts/web-1", ["/queues/mail", f"/classes/{CLASS}"]),
        ("/jobs/3", ["/queues/mail", f"/classes/{CLASS}", "/hosts/web-1"]),
        ("/recurring", [f"/classes/{CLASS}"]),
        ("/recurring/beat", [f"/classes/{CLASS}"]),
        ("/limits", [f"/classes/{CLASS}"]),
        ("/audit", ["/queues/mail"]),
    ],
)
def test_each_name_leads_to_its_page(
    browser: Browser, session: Session, rows: Rows, path: str, links: list[str]
) -> None:
    rows("ALTER SEQUENCE jobsd.jobs_id_seq RESTART")
    _filled(session, rows)
    enqueue("mail", name=CLASS, key="tenant", to=1)
    registry.register(session, kind="supervisor", name="s", supervisor_id=0, metadata={})
    rows("UPDATE jobsd.processes SET hostname = 'web-1'")
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " VALUES ('beat', '@daily', %s)",
        CLASS,
    )
    rows(
        "INSERT INTO jobsd.history_hours VALUES"
        " (date_trunc('hour', now()), %s, 3, 1, 0, 0, 0, 0, '{1}', '{1}')",
        CLASS,
    )
    browser.post("/queues/mail/pause")

    page = browser.get(path).text

    assert [link for link in links if f'href="{link}"' not in page] == []
