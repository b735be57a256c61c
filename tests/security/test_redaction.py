"""However a password may be spelt that is taken, no line of the log tells it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import conninfo

from jobsd.database.url import passwords, read_url
from jobsd.logs.layouts import for_people, in_json
from jobsd.logs.lines import Lines
from jobsd.logs.redaction import redact, starred

if TYPE_CHECKING:
    from jobsd.logs.layouts import Facts

URLS = [
    "postgresql://me:it'sSESAME@db/app",
    'postgresql://me:a"SESAME@db/app',
    "postgresql://me:a,'SESAME'@db/app",
    "postgresql://m'e:SESAME@db/app",
    "postgresql+psycopg://me:SESAME@a:1,[::1]:2/app",
    "postgresql://db/app?pass%77ord=SESAME&sslmode=require",
    "postgresql://db/app?sslmode=require&sslpassword=a'SESAME",
    "postgresql://me:a'SESAME@db/app?application_name=a@b",
    r"host=db password='a\'SESAME'",
    r"host=db password='a\' SESAME' user=me",
    r"host=db password='a\\' user=me sslpassword=SESAME",
    r"host=db password=a\'SESAME",
    r"host=db password=a\ SESAME",
    'host=db password=a"SESAME',
    "host=db password=a&SESAME",
    'host=db password="SESAME"',
    "host=db password = SESAME",
    "host=db password='a SESAME'",
    "host=db sslpassword='a SESAME'",
]

REFUSED = [
    "postgresql://me:a SESAME@db/app",
    "postgresql://me:a/SESAME@db/app",
    "postgresql://me:12/SESAME@db/app",
    "postgresql://me:a@SESAME@db/app",
    "postgresql://me:SESAME",
    'host=db password="a SESAME" user=me',
]

ONLY_LONG = "Xy7'k2\\ q9"


def _lines(facts: Facts, event: str = "job.failed") -> str:
    reported = [
        Lines(layout, "worker", "worker-1", line_bytes=4096, has_priority=False)
        for layout in (in_json, for_people)
    ]
    return "\n".join(lines.line("error", event, "jobsd", facts) for lines in reported)


@pytest.mark.parametrize("url", URLS)
def test_a_readable_url_is_reported_without_its_password(url: str) -> None:
    read_url(url)

    assert "SESAME" not in redact(f"can't use {url}, nor {url!r}, nor {json.dumps(url)}")


@pytest.mark.parametrize("url", REFUSED)
def test_a_refused_url_is_reported_without_its_password(url: str) -> None:
    assert "SESAME" not in redact(f"no such command {url!r}")


@pytest.mark.parametrize("url", URLS + REFUSED)
def test_stars_move_nothing(url: str) -> None:
    reported = starred(url)

    assert len(reported) == len(url)
    assert "SESAME" not in reported


@pytest.mark.parametrize("url", URLS)
def test_no_line_reports_a_password_at_any_depth(url: str) -> None:
    error = {"type": "E", "message": url, "stack": f"raise E({url!r})"}
    facts = {"note": url, "error": error, "deep": [{"url": url, url: {"urls": (url, {url})}}]}

    reported = _lines({**facts, url: 1}, event=url)

    assert "SESAME" not in reported
    assert json.loads(reported.splitlines()[0])["process_kind"] == "worker"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_no_connection_string_is_reported_with_its_password(rest: str) -> None:
    url = read_url(conninfo.make_conninfo("host=db", password=f"SESAME{rest}SESAME"))

    assert "SESAME" not in redact(url)


def test_text_beside_a_password_is_reported() -> None:
    reported = _lines(
        {"note": "password='a\\'b' host=db", "deep": [{"count": 7}], "flag": True}
    )

    first = json.loads(reported.splitlines()[0])
    assert (first["note"], first["deep"]) == ("password=*** host=db", [{"count": 7}])
    assert first["flag"] is True


def test_the_password_in_use_is_hidden_wherever_it_stands() -> None:
    reported = _apart(f"""
        from jobsd.enqueueing.client import configure
        configure(conninfo.make_conninfo("host=db user=me", password={ONLY_LONG!r}))
        print(redact("connect(host='db', secret=" + json.dumps({ONLY_LONG!r})))
        print(redact("said " + {ONLY_LONG!r} + " and " + quote({ONLY_LONG!r}, safe="")))
    """)

    assert reported == ["connect(host='db', secret=\"***\"", "said *** and ***"]


def test_a_password_that_is_a_word_spoils_no_other_text() -> None:
    reported = _apart("""
        from jobsd.enqueueing.client import configure
        configure("postgresql://postgres:postgres@db/app")
        configure("postgresql://me:hunter2@db/app")
        configure("postgresql://app_2024:app_2024@db/app")
        print(redact("postgres, hunter2 and app_2024 of postgresql://db/app"))
    """)

    assert reported == ["postgres, hunter2 and app_2024 of postgresql://db/app"]


def test_the_passwords_of_a_url_exclude_values_of_other_parts() -> None:
    url = "host=db user=me password=me sslpassword='a b'"

    assert passwords(url) == ("a b",)


NAMED = r"""
token: SESAME and SESAME
token:SESAME
TOKEN=SESAME
--token=SESAME and more
token = 'SESAME \' SESAME' and more
token => "SESAME SESAME" and more
{"token": "SESAME \" SESAME", "user": 5}
{"token": {"a": ["SESAME"]}, "user": 5}
{"token":"SESAME
{'token': b'SESAME, SESAME', 'user': 5}
{"in": "{\"token\": \"SESAME SESAME\", \"user\": 5}"}
Card(token='SESAME', api_key=['SESAME', 'SESAME'])
Api-Key: SESAME SESAME
api-key=SESAME
Authorization: Bearer SESAME
authorization=Bearer SESAME
Proxy-Authorization: Basic SESAME
{'Authorization': 'Bearer SESAME', 'api_key': 'SESAME'}
(b'authorization: Bearer SESAME')
"""

UNNAMED = """
a tokens: five, access_token_count=5, X-Token: 7, my.token
{"tokens": 5, "authorized": true}
"""


def test_text_after_the_name_of_a_secret_is_hidden_in_every_form() -> None:
    reported = _apart(f"""
        from jobsd.logs.redaction import hide_behind
        hide_behind(["token", "api_key"])
        print(*map(redact, {NAMED.strip()!r}.splitlines()), sep="\\n")
        print(*map(redact, {UNNAMED.strip()!r}.splitlines()), sep="\\n")
    """)

    assert "SESAME" not in "\n".join(reported)
    assert reported[3:8] == [
        "--token=*** and more",
        "token = *** and more",
        "token => *** and more",
        '{"token": ***, "user": 5}',
        '{"token": ***',
    ]
    assert reported[-2:] == UNNAMED.strip().splitlines()


def test_credentials_of_requests_are_hidden_without_named_secrets() -> None:
    assert (
        redact("> Authorization: Bearer abc\n> token: a") == "> Authorization: ***\n> token: a"
    )


def test_facts_with_the_name_of_a_secret_are_hidden_but_for_those_of_our_own_events() -> None:
    reported = _apart("""
        from jobsd.logs.layouts import in_json
        from jobsd.logs.lines import Lines
        from jobsd.logs.redaction import hide_behind
        hide_behind(["token", "message", "level", "queue_name"])
        lines = Lines(in_json, "worker", "w", line_bytes=4096, has_priority=False)
        print(lines.line("info", "paid", "app", {"token": "a", "of": [{"token": {"b": 1}}]}))
        error = {"type": "E", "message": "at 3", "stack": "token=c"}
        print(lines.line("error", "job.failed", "jobsd", {"queue_name": "q", "error": error}))
    """)

    theirs, ours = map(json.loads, reported)
    assert (theirs["token"], theirs["of"], theirs["level"]) == (
        "***",
        [{"token": "***"}],
        "info",
    )
    assert ours["queue_name"] == "q"
    assert ours["error"] == {"type": "E", "message": "at 3", "stack": "token=***"}


def _apart(program: str) -> list[str]:
    """Run a program in a process of its own: what is hidden there is hidden for good."""
    lines = [line.strip() for line in program.strip().splitlines()]
    imports = [
        "import json",
        "from urllib.parse import quote",
        "from psycopg import conninfo",
        "from jobsd.logs.redaction import redact",
    ]
    called = [sys.executable, "-c", "\n".join(imports + lines)]
    done = subprocess.run(called, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
