"""Data on stdout, for people and for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobsd.clock import utc_now
from jobsd.daemon import output


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
        (timedelta(seconds=1.5), "1.500"),
        ({"a": [1]}, '{"a": [1]}'),
        (
            datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            "2030-01-01T00:00:00+00:00",
        ),
    ],
)
def test_a_pipe_gets_one_field_of_one_line(value: object, text: str) -> None:
    assert output.plain(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        ({"queues": "*", "threads": 3}, "queues=* threads=3"),
        ({}, "-"),
        (timedelta(minutes=5), "5m"),
    ],
)
def test_people_get_words(value: object, text: str) -> None:
    assert output.human(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0421, "42ms"),
        (3.14, "3.1s"),
        (42, "42s"),
        (60, "1m"),
        (61, "1m1s"),
        (3599.6, "1h"),
        (3661, "1h1m"),
        (86400 * 2 + 3600 * 3 + 5, "2d3h"),
    ],
)
def test_a_duration_is_told_by_its_two_largest_units(seconds: float, text: str) -> None:
    assert output.length(seconds) == text


def test_moments_are_told_by_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now()
    monkeypatch.setattr(output, "utc_now", lambda: now)

    assert output.when(now - timedelta(seconds=90)) == "1m30s ago"
    assert output.when(now + timedelta(hours=2)) == "in 2h"


def test_rows_are_tab_separated_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows([{"a": 1, "b": None, "c": "x"}], ("a", "b"), as_json=False)

    assert capsys.readouterr().out == "1\t\n"


def test_json_has_all_that_is_in_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {"at": datetime(2030, 1, 1, tzinfo=UTC), "age": timedelta(seconds=2)}
    output.print_rows([row], ("at",), as_json=True)

    assert json.loads(capsys.readouterr().out) == [
        {"at": "2030-01-01T00:00:00+00:00", "age": 2.0}
    ]


def test_a_terminal_cuts_what_is_long_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    row = {"id": 4711, "arguments": "[" + "a" * 100 + "]", "error": "ValueError: " + "b" * 100}

    output.print_rows([row], ("id", "arguments", "error"), as_json=False)

    fields = capsys.readouterr().out.splitlines()[1:]
    assert [field.split()[0] for field in fields] == ["4711"]
    assert fields[0].count("…") == 2
    assert len(fields[0]) <= 40


def test_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_rows([{"queue_name": "[red]mail"}], ("queue_name",), as_json=False)

    assert capsys.readouterr().out.split("\n")[:2] == ["queue name", "[red]mail "]
