"""What enemies try: acts of others, as a viewer or from another site, headers, oracles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, basic, made
from enqueueing.placed import enqueue, fail
from jobsd.acts import queues
from jobsd.configuration.users import User
from jobsd.operations import audit
from jobsd.web import acts, routes
from jobsd.web.guard import Visitor
from jobsd.web.settings import Settings

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows

ROOT = Path(__file__).parents[2]
VIEWER = User("ann", "viewer", password="correct horse", token="view3r")
SECRET = "4242-hidden"
BREAKS = ("a\r\nSet-Cookie: x=1", "a\nLocation: https://evil.example/", "a%0d%0aX: 1")


def _all_acts() -> list[acts.Act]:
    """Return every act that the application has, also those to come."""
    acts.find("/")  # all modules with acts are imported by then
    return list(acts.ACTS)


def _path(act: acts.Act, job_id: int) -> str:
    names = {"id": str(job_id), "queue": "mail", "task": "beat", "process": "1"}
    return re.sub(r"\(\?P<(\w+)>\.\+\)", lambda found: names[found[1]], act.pattern.pattern)


def _state(rows: Rows) -> list[Any]:
    """Return what no refused act may change."""
    return rows(
        "SELECT"
        " (SELECT jsonb_agg(job ORDER BY id) FROM jobsd.jobs AS job),"
        " (SELECT jsonb_agg(job_id ORDER BY job_id) FROM jobsd.failed_executions),"
        " (SELECT jsonb_agg(pause) FROM jobsd.pauses AS pause),"
        " (SELECT jsonb_agg(task) FROM jobsd.recurring_tasks AS task),"
        " (SELECT count(*) FROM jobsd.audit)"
    )


@pytest.fixture
def things(session: Session, rows: Rows, default_client: object) -> int:
    """Something for each act to be done to; the id of a failed job."""
    del default_client
    job_id = enqueue()
    fail(session, job_id)
    enqueue(wait="1h")
    queues.pause("bulk", session=session)
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " VALUES ('beat', 'every hour', 'HeartbeatJob')"
    )
    return job_id


FIELDS = "act=discard&q=state%3Afailed&upto=999999&confirm=mail&priority=1&queue=other"


def test_a_viewer_can_do_nothing_whatever_is_posted(
    target: Target, rows: Rows, things: int
) -> None:
    browser = Browser(made(target, open_role=None, users=(VIEWER,)))
    before = _state(rows)
    ways = {"Authorization": "Bearer view3r", "Sec-Fetch-Site": "same-origin"}

    got = {
        f"{prefix}{path}": browser.ask("POST", f"{prefix}{path}", ways, FIELDS).status
        for path in (_path(each, things) for each in _all_acts())
        for prefix in ("", "/api/v1")
    }

    assert len(got) >= 36
    assert got == dict.fromkeys(got, 403)
    assert _state(rows) == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://localhost"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
    ids=str,
)
def test_no_act_is_done_for_another_site(
    target: Target, rows: Rows, things: int, headers: dict[str, str]
) -> None:
    browser = Browser(made(target))
    before = _state(rows)

    for path in (_path(each, things) for each in _all_acts()):
        got = browser.ask("POST", path, headers, FIELDS)
        assert (path, got.status) == (path, 403)
        assert "must come from a page of this dashboard" in got.text
    assert _state(rows) == before


def _admit(_environ: object) -> str:
    return "admin"


@pytest.mark.parametrize("site", [{}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
@pytest.mark.parametrize("way", ["a password", "a proxy's header", "the program's own"])
def test_another_site_does_nothing_by_the_login_of_a_visitor(
    target: Target, rows: Rows, things: int, way: str, site: dict[str, str]
) -> None:
    boss = User("boss", "admin", password="correct horse", token="b0ss")
    settings: dict[str, dict[str, Any]] = {
        "a password": {"users": (boss,)},
        "a proxy's header": {
            "users": (boss,),
            "trusted_header": "X-Remote-User",
            "trusted_proxies": ("127.0.0.1",),
        },
        "the program's own": {"authorize": _admit},
    }
    login = {
        "a password": basic("boss", "correct horse"),
        "a proxy's header": {"X-Remote-User": "boss"},
        "the program's own": {},
    }[way]
    browser = Browser(made(target, open_role=None, **settings[way]))
    before = _state(rows)

    refused = browser.ask("POST", f"/jobs/{things}/retry", {**login, **site}, FIELDS)
    unchanged = _state(rows)
    own = {**login, "Sec-Fetch-Site": "same-origin"}
    done = browser.ask("POST", f"/jobs/{things}/retry", own, FIELDS)

    assert "must come from a page of this dashboard" in refused.text
    assert (refused.status, unchanged, done.status) == (403, before, 303)


def test_no_act_is_done_by_looking(target: Target, rows: Rows, things: int) -> None:
    browser = Browser(made(target))
    before = _state(rows)

    for each in _all_acts():
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            path = _path(each, things)
            got = browser.ask(method, path, {"Sec-Fetch-Site": "same-origin"}, FIELDS)
            assert got.status < 500, (method, path)

    assert _state(rows) == before


def test_a_read_only_dashboard_refuses_every_act(
    target: Target, rows: Rows, things: int
) -> None:
    browser = Browser(made(target, read_only=True))
    before = _state(rows)

    got = {browser.post(_path(each, things), act="discard").status for each in _all_acts()}

    assert got == {403}
    assert _state(rows) == before


@pytest.mark.parametrize("text", BREAKS)
def test_no_text_of_a_request_becomes_a_header(
    browser: Browser, session: Session, things: int, text: str
) -> None:
    del session, things
    asked = [
        browser.post(f"/queues/{text}/pause", reason=text),
        browser.post("/recurring/add", key=text, schedule=text, **{"class": text}),
        browser.post(f"/recurring/{text}/run"),
        browser.get(f"/jobs?q={text}"),
        browser.get(f"/{text}"),
    ]

    for got in asked:
        assert "Set-Cookie" not in got.headers
        assert "evil.example" not in got.headers.get("Location", "").partition("?")[0]
        assert not any("\r" in value or "\n" in value for value in got.headers.values())
        assert got.status < 500


@pytest.fixture
def secret(rows: Rows, things: int) -> int:
    rows(
        "UPDATE jobsd.jobs SET arguments = %s::jsonb WHERE id = %s",
        *(json.dumps([{"$keywords": {"token": SECRET, "size": 5}}]), things),
    )
    return things


def test_filtered_arguments_can_be_found_by_no_search(
    browser: Browser, session: Session, secret: int
) -> None:
    searches = [
        f"args.token:{SECRET}",
        f"args.token:{SECRET} state:failed",
        f'args.token:"{SECRET}"',
        f"args.TOKEN:{SECRET}",
        f"args.token.x:{SECRET}",
        'args.token:"4242*"',
        f'"{SECRET}"',
        SECRET,
        "4242*",
    ]
    for search in searches:
        for prefix in ("", "/api/v1"):
            got = browser.get(f"{prefix}/jobs?q={search.replace(' ', '+')}")
            found = f"/jobs/{secret}" in got.text or f'"id": {secret},' in got.text
            wrong = browser.get(f"{prefix}/jobs?q={search.replace('4242', '1717')}")
            also = f"/jobs/{secret}" in wrong.text or f'"id": {secret},' in wrong.text
            # What is found does not depend on what the argument is.
            assert found == also, search
    for path in (f"/jobs/{secret}", f"/api/v1/jobs/{secret}", "/jobs", "/", "/audit"):
        assert SECRET not in browser.get(path).text, path
    counted = browser.get(f"/bulk?act=retry&q=args.token:{SECRET}")
    assert counted.status == 409
    begun = browser.post("/bulk", act="retry", q=f"args.token:{SECRET}", upto="999999")
    assert begun.status == 409
    assert all(SECRET not in row["target"] for row in audit.rows(session))


def test_each_role_may_do_the_acts_listed_in_the_guide() -> None:
    guide = (ROOT / "docs/guide/dashboard.md").read_text(encoding="utf-8")
    (line,) = [each for each in guide.splitlines() if each.startswith("| operator |")]
    settings = Settings(target=lambda: None)  # type: ignore[arg-type, return-value]
    allowed = {each.name for each in _all_acts() if Visitor("o", "operator").may(each.role)} - {
        "bulk",
        "chosen",
    }

    assert not settings.read_only
    assert allowed == {"retry", "discard", "cancel", "run", "pause", "resume"}
    assert all(word in line for word in allowed)


def test_every_page_can_be_asked_for_as_json(browser: Browser, things: int) -> None:
    routes.find("GET", "/")
    names = {"id": str(things), "key": "beat", "row": "1"}
    names |= {"queue": "mail", "class_name": "shop.mail", "host": "web-1"}
    for each in routes.ROUTES:
        path = re.sub(
            r"\(\?P<(\w+)>\.\+\)", lambda found: names[found[1]], each.pattern.pattern
        )
        query = "?act=retry&q=state:failed" if path == "/bulk" else ""
        got = browser.get(f"/api/v1{path.rstrip('/')}{query}")
        assert got.status in {200, 404}, path
        assert got.headers["Content-Type"] == "application/json", path
        json.loads(got.text)
