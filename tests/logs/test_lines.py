"""A line is always one object, of bounded length, without passwords."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.logs import redaction
from jobsd.logs.layouts import for_people, in_json
from jobsd.logs.lines import Lines, encode
from jobsd.logs.redaction import redact

LIMIT = 4096


def _line(facts: dict[str, Any], event: str = "job.failed") -> str:
    lines = Lines(in_json, "worker", "worker-1", line_bytes=LIMIT, has_priority=False)
    return lines.line("error", event, "jobsd", facts)


def _logged(facts: dict[str, Any], event: str = "job.failed") -> dict[str, Any]:
    reported: dict[str, Any] = json.loads(_line(facts, event))
    return reported


def test_a_long_stack_loses_its_beginning() -> None:
    stack = "first\n" + "x" * 10_000 + "\nlast"

    reported = _logged({"error": {"type": "E", "message": "m", "stack": stack}, "job_id": 7})

    assert reported["truncated"] is True
    assert reported["error"]["stack"].endswith("\nlast")
    assert (reported["error"]["message"], reported["job_id"]) == ("m", 7)


def test_a_long_message_keeps_its_beginning() -> None:
    reported = _logged({"error": {"type": "E", "message": "why " + "x" * 10_000, "stack": "s"}})

    assert reported["error"]["message"].startswith("why xxx")


def test_a_line_that_fits_is_not_called_truncated() -> None:
    assert "truncated" not in _logged({"text": "x" * 3000})


@given(
    st.dictionaries(st.text(max_size=20), st.text() | st.integers(), max_size=5),
    st.sampled_from(["", "é", "\x00", '"', "\ud800", "😀"]),
    st.integers(0, 9000),
)
def test_no_line_is_longer_than_a_pipe_takes_whole(
    facts: dict[str, Any], text: str, times: int
) -> None:
    facts = {**facts, "error": {"type": "E", "message": text * times, "stack": text * times}}

    line = encode(_line(facts, event=text * times))

    assert len(line) < LIMIT
    assert b"\n" not in line
    json.loads(line)


def test_a_line_of_very_many_facts_keeps_what_every_line_has() -> None:
    reported = _logged({f"key{number}": number for number in range(5000)})

    assert (reported["event"], reported["truncated"]) == ("job.failed", True)


def test_a_line_for_people_is_cut_too() -> None:
    lines = Lines(for_people, "worker", "worker-1", line_bytes=LIMIT, has_priority=False)

    line = lines.line("info", "x" * 9000, "app", {})

    assert len(encode(line)) < LIMIT


def test_a_value_that_is_no_json_leaves_the_others_as_they_are() -> None:
    ring: list[object] = []
    ring.append(ring)

    reported = _logged({"ring": ring, "nan": float("nan"), "odd": {(1, 2): 3}, "count": 3})

    assert (reported["count"], reported["nan"], reported["odd"]) == (3, "nan", "{(1, 2): 3}")


def test_endlessly_nested_facts_are_truncated() -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"deeper": deep}

    reported = _logged({"deep": deep, "long": "x" * 5000, "job_id": 7})

    assert (reported["job_id"], reported["truncated"]) == (7, True)


def test_sets_and_times_are_logged_readably() -> None:
    reported = _logged({"when": datetime(2026, 1, 2, tzinfo=UTC), "tags": {"b", "a"}})

    assert (reported["when"], reported["tags"]) == ("2026-01-02T00:00:00+00:00", ["a", "b"])


def test_an_object_without_a_text_is_logged_by_its_type() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    assert _logged({"mute": Mute()})["mute"] == "<Mute>"


def test_an_exception_without_words_is_logged() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert _logged({"error": MuteError()})["error"]["type"].endswith(".MuteError")


def test_the_journal_gets_the_priority_of_a_line() -> None:
    lines = Lines(in_json, "worker", "worker-1", line_bytes=LIMIT, has_priority=True)

    begins = [lines.line(level, "e", "jobsd", {})[:4] for level in ("debug", "info", "error")]

    assert begins == ["<7>{", "<6>{", "<3>{"]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://me:secret@db/x", "postgresql://me:***@db/x"),
        ("postgres://me:p@ss:w@db:5432/x?a=b", "postgres://me:***@db:5432/x?a=b"),
        ("host=db password=secret user=me", "host=db password=*** user=me"),
        ("password='two words' user=me", "password=*** user=me"),
        ("postgresql://db/x?password=secret&a=b", "postgresql://db/x?password=***&a=b"),
        ('connection to "amqp://u:pw@h" failed', 'connection to "amqp://u:***@h" failed'),
    ],
)
def test_passwords_are_hidden(text: str, hidden: str) -> None:
    assert redact(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:9394/metrics",
        "at 10:00 by a@b.c",
        "http://h:80/a?mail=a@b",
        "password",
    ],
)
def test_text_without_a_password_stays_unchanged(text: str) -> None:
    assert redact(text) == text


def test_a_password_is_hidden_wherever_it_stands_in_a_line() -> None:
    url = "postgresql://me:secret@db/x"

    line = _line({"error": ConnectionError(url), "deep": [{"url": url}]}, event=url)

    assert "secret" not in line


def test_a_password_with_its_end_cut_off_is_hidden() -> None:
    reported = _line({"note": "x" * 3600 + "postgresql://me:" + "secret" * 100 + "@db/x"})

    assert "secret" not in reported


def test_a_password_is_hidden_as_a_url_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", ())
    redaction.hide(["s3cr3t/? and more"])

    assert redaction.redact("it was s3cr3t%2F%3F%20and%20more, or so") == "it was ***, or so"


def test_a_name_of_a_secret_may_have_dashes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_names", "_stems", "_in_named"):
        monkeypatch.setattr(redaction, name, getattr(redaction, name))
    redaction.hide_behind(["api_key"])

    facts = {"api-key": "geheim", "API_KEY": "geheim", "key": "shown"}

    assert redaction.redacted(facts, named=True) == {
        "api-key": "***",
        "API_KEY": "***",
        "key": "shown",
    }


def test_the_last_passwords_that_came_into_use_are_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redaction, "_known", ())
    redaction.hide(f"passw0rd-{number}" for number in range(40))

    hidden = [n for n in range(40) if redaction.redact(f"passw0rd-{n};") == "***;"]

    assert hidden == list(range(8, 40))
