"""Results as they are printed: on a terminal of any width, in a pipe, as JSON."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from jobsd.daemon.cli import output
from jobsd.daemon.cli.output import Format, Result, Table, rows
from jobsd.daemon.cli.table import Column
from jobsd.daemon.values import brief_moment, cells, number

COLUMNS = (
    Column("id", show=number, right=True),
    Column("class_name", "CLASS", rank=1, cuts=True),
    Column("queue_name", "QUEUE"),
    Column("state", style=output.colored),
    Column("created_at", "ENQUEUED", rank=2, brief=brief_moment),
    Column("arguments", rank=3, cuts=True),
)
ROW: dict[str, Any] = {
    "id": 1953751,
    "class_name": "app.services.billing.jobs.invoice_reminder_email",
    "queue_name": "critical-notifications",
    "state": "scheduled",
    "created_at": datetime(2020, 1, 1, tzinfo=UTC),
    "arguments": "x" * 200,
}


def _shown(row: dict[str, Any], width: int | None, **options: Any) -> list[str]:
    form = Format(terminal=True, width=width, height=24, **options)
    return list(Table([row], COLUMNS).lines(form))


@pytest.mark.parametrize("width", range(60, 221, 5))
def test_what_identifies_is_whole_at_any_width(width: int) -> None:
    lines = _shown(ROW, width)

    assert len(lines) == 2
    assert {"1953751", "critical-notifications", "scheduled"} <= set(lines[1].split())
    assert max(map(cells, lines)) <= width


def test_the_last_column_gives_way_first() -> None:
    heads = [_shown(ROW, width)[0].split() for width in (300, 130, 72, 60)]

    assert heads == [
        ["ID", "CLASS", "QUEUE", "STATE", "ENQUEUED", "ARGUMENTS"],
        ["ID", "CLASS", "QUEUE", "STATE", "ENQUEUED", "ARGUMENTS"],
        ["ID", "CLASS", "QUEUE", "STATE", "ENQUEUED"],
        ["ID", "CLASS", "QUEUE", "STATE"],
    ]


def test_times_are_brief_before_a_column_is_cut() -> None:
    assert "2020-01-01 00:00:00Z (" in _shown(ROW, None)[1]
    assert re.search(r"scheduled +\d+d\w* ago", _shown({**ROW, "arguments": "[]"}, 130)[1])


def test_a_name_is_cut_in_its_middle_to_40_cells_at_least() -> None:
    row = {**ROW, "queue_name": "start" + "q" * 245 + "end-1"}

    [_, line] = _shown(row, 80)

    (shown,) = (word for word in line.split() if word.startswith("start"))
    assert re.fullmatch(r"startq+…q+end-1", shown)
    assert cells(shown) >= 40
    assert cells(line) <= 80
    assert {"1953751", "scheduled"} <= set(line.split())


def test_a_name_is_whole_where_the_line_has_room_and_with_wide() -> None:
    short, long = {**ROW, "queue_name": "q" * 40}, {**ROW, "queue_name": "q" * 255}

    assert "q" * 40 in _shown(short, 62)[1]
    assert "q" * 255 in _shown(long, None)[1]


def test_only_the_rows_that_do_not_fit_print_as_records() -> None:
    wide = {**ROW, "id": 5, "queue_name": "q" * 255, "state": "s" * 255}
    rows = [ROW, wide, {**ROW, "id": 7}, wide, wide]

    lines = list(Table(rows, COLUMNS).lines(Format(terminal=True, width=70)))

    assert [line.split()[:1] for line in lines[:2]] == [["ID"], ["1953751"]]
    assert lines[2:4] == ["", "id: 5"]
    assert lines[5].startswith("queue: qqq")
    assert "7" in lines[lines.index("", 3) + 1].split()
    assert sum(line == "id: 5" for line in lines) == 3
    assert max(map(cells, lines)) <= 70


def test_an_id_is_never_cut() -> None:
    row = {**ROW, "id": 2**63 - 1, "queue_name": "q" * 255}

    for width in (10, 30, 60, 80):
        assert any(str(2**63 - 1) in line for line in _shown(row, width))


def test_a_wide_character_takes_two_cells() -> None:
    lines = _shown({**ROW, "class_name": "日本語" * 20}, 100)

    assert cells(lines[1]) <= 100


def test_wide_shortens_nothing() -> None:
    [_, line] = _shown(ROW, None)

    assert ROW["arguments"] in line
    assert ROW["class_name"] in line


def test_columns_are_shown_as_named() -> None:
    assert _shown(ROW, 80, columns=("state", "id"))[0].split() == ["STATE", "ID"]
    with pytest.raises(
        click.BadParameter, match="there is no column 'nope'; the columns are id, "
    ):
        _shown(ROW, 80, columns=("nope",))


def test_rows_are_tab_separated_and_whole_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_result(rows([ROW], COLUMNS), Format(header=True))

    assert capsys.readouterr().out == (
        "id\tclass_name\tqueue_name\tstate\tcreated_at\targuments\n"
        f"1953751\t{ROW['class_name']}\tcritical-notifications\tscheduled\t"
        f"2020-01-01T00:00:00+00:00\t{'x' * 200}\n"
    )


def test_json_has_all_that_is_in_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {"at": datetime(2030, 1, 1, tzinfo=UTC), "age": timedelta(seconds=2)}
    output.print_result(rows([row], (Column("at"),)), Format(as_json=True))

    assert json.loads(capsys.readouterr().out) == [
        {"at": "2030-01-01T00:00:00+00:00", "age": 2.0}
    ]


def test_json_has_the_columns_that_were_named(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_result(rows([ROW], COLUMNS), Format(as_json=True, columns=("state", "id")))

    assert json.loads(capsys.readouterr().out) == [{"state": "scheduled", "id": 1953751}]


def test_an_empty_answer_prints_its_advice_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nothing = rows([], COLUMNS, empty="there are none; make one")
    output.print_result(nothing, Format())
    output.print_result(nothing, Format(as_json=True))

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("[]\n", "there are none; make one\n")


def test_a_result_carries_the_exit_status() -> None:
    assert output.print_result(Result(None, status=3), Format()) == 3


def test_colours_change_no_width() -> None:
    plain, colored = (
        _shown({**ROW, "state": "failed"}, 80),
        _shown({**ROW, "state": "failed"}, 80, color=True),
    )

    assert "\x1b[31mfailed\x1b[0m" in colored[1]
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in colored] == plain


@pytest.mark.parametrize(
    ("option", "environ", "terminal", "wanted"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"CLICOLOR_FORCE": "1"}, False, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, False, False),
        ("auto", {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"CLICOLOR_FORCE": "1"}, True, False),
    ],
)
def test_colours_go_by_option_environment_and_terminal(
    option: Any,
    environ: dict[str, str],
    terminal: bool,  # noqa: FBT001 - a case
    wanted: bool,  # noqa: FBT001 - a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "CLICOLOR_FORCE", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)

    assert output.format_of(color=option).color is wanted
