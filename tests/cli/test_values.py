"""Values as text, for people and for programs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from jobsd.clock import utc_now
from jobsd.daemon import values
from jobsd.operations import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        ("plain", "plain"),
        ("tab\tand\nline", "tab\\tand\\nline"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x7f\x9b\u202e", "\\x7f\\x9b\\u202e"),
        (["\x9b\u202e"], '["\\u009b\\u202e"]'),
        (timedelta(seconds=1.5), "1.500"),
        ({"a": [1]}, '{"a": [1]}'),
        (
            datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            "2030-01-01T00:00:00+00:00",
        ),
    ],
)
def test_a_pipe_gets_one_field_of_one_line(value: object, text: str) -> None:
    assert values.plain(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        ({"queues": "*", "threads": 3}, "queues=* threads=3"),
        ({}, "-"),
        (1234567, "1,234,567"),
        (timedelta(minutes=5), "5m"),
    ],
)
def test_people_get_words(value: object, text: str) -> None:
    assert values.human(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0002, "0.2 ms"),
        (0.0421, "42 ms"),
        (3.14, "3.1s"),
        (42, "42s"),
        (60, "1m"),
        (61, "1m1s"),
        (3599.6, "1h"),
        (3661, "1h1m"),
        (86400 * 2 + 3600 * 3 + 5, "2d3h"),
    ],
)
def test_a_duration_is_reported_by_its_two_largest_units(seconds: float, text: str) -> None:
    assert values.length(seconds) == text


def test_moments_are_reported_by_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now()
    monkeypatch.setattr(words, "utc_now", lambda: now)

    assert values.when(now - timedelta(seconds=90)) == "1m30s ago"
    assert values.when(now + timedelta(hours=2)) == "in 2h"


def test_a_moment_is_reported_as_a_log_line_has_it_and_by_its_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = datetime(2030, 1, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=1)))
    monkeypatch.setattr(words, "utc_now", lambda: at + timedelta(seconds=33))

    assert values.human(at) == "2030-01-01 00:02:03Z (33s ago)"


def test_nothing_in_json_commands_a_terminal() -> None:
    held = "\x1b[2J\x7f\x9b\u202e\U000e0001é"

    text = values.json_text({"a": held})

    assert text.isprintable()
    assert "é" in text
    assert json.loads(text) == {"a": held}


@pytest.mark.parametrize(
    ("text", "width", "kept"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("日本語日本語", 7, "日本語…"),
        ("a b", 2, "a…"),
    ],
)
def test_a_cut_text_is_marked_and_fits(text: str, width: int, kept: str) -> None:
    assert values.cut(text, width) == kept
    assert values.cells(kept) <= width


@pytest.mark.parametrize(
    ("text", "width", "kept"),
    [
        ("short", 5, "short"),
        ("abcdefgh", 5, "ab…gh"),
        ("abcdefgh", 4, "ab…h"),
        ("日本語日本語", 7, "日…語"),
    ],
)
def test_a_name_is_cut_in_its_middle_and_fits(text: str, width: int, kept: str) -> None:
    assert values.cut_middle(text, width) == kept
    assert values.cells(kept) <= width
