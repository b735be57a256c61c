"""The forms of output that are asked for: -o json, tsv and name, and --ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.cli import cli, output
from jobsd.daemon.cli.output import Facts, Format, Result, Table
from jobsd.daemon.cli.table import Column

if TYPE_CHECKING:
    from system.commands import Commands

ROWS = [{"next": "soon", "key": "daily"}, {"next": "later", "key": "weekly"}]
COLUMNS = (Column("next", rank=1), Column("key"))


def _printed(capsys: pytest.CaptureFixture[str], form: Format, *parts: output.Part) -> str:
    output.print_result(Result(ROWS, parts), form)
    return capsys.readouterr().out


def test_tsv_has_a_header_and_a_pipe_has_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(ROWS, COLUMNS)
    piped = _printed(capsys, output.format_of(), table)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    printed = _printed(capsys, output.format_of(form="tsv"), table)

    assert printed == f"next\tkey\n{piped}" == "next\tkey\nsoon\tdaily\nlater\tweekly\n"


def test_names_are_those_of_the_first_column_that_identifies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    form = output.format_of(form="name", header=True)

    assert _printed(capsys, form, Table(ROWS, COLUMNS)) == "daily\nweekly\n"


def test_the_names_of_a_column_that_was_named_are_its_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    form = output.format_of(form="name", columns="next,key")

    assert _printed(capsys, form, Table(ROWS, COLUMNS)) == "soon\nlater\n"


def test_one_subject_has_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    parts = Facts([("key", "daily"), ("queue", "mail")]), Table(ROWS, COLUMNS, apart=True)

    assert _printed(capsys, output.format_of(form="name"), *parts) == "daily\n"


@pytest.mark.parametrize("form", ["json", "tsv", "name"])
def test_a_form_that_was_asked_for_is_the_same_on_a_terminal(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = output.format_of(form=form)  # type: ignore[arg-type]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert output.format_of(form=form) == piped  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [
        ("list", "--json", "-o", "tsv"),
        ("list", "--ids", "-o", "tsv"),
        ("list", "--ids", "--json"),
        ("version", "-o", "tsv"),
    ],
)
def test_a_second_form_and_one_that_a_command_lacks_are_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == 2

    reported = capsys.readouterr()
    assert reported.out == ""
    assert reported.err.startswith("error: ")


def test_the_ids_of_a_list_can_be_given_to_another_command(run: Commands) -> None:
    ids = [run("enqueue", "shop_jobs.welcome", f"[{n}]").stdout.strip() for n in (1, 2)]

    listed = run("list", "--ids")

    assert listed.stdout.split() == run("list", "-o", "name").stdout.split() == ids[::-1]
    assert run("discard", *listed.stdout.split()).returncode == 0


def test_json_may_be_asked_for_as_a_form(run: Commands) -> None:
    made = json.loads(run("enqueue", "DailyCleanupJob", "-o", "json").stdout)

    assert made["state"] == "ready"
    assert run("list", "-o", "json").stdout == run("list", "--json").stdout


def test_each_list_has_names(daily: Commands) -> None:
    daily("enqueue", "shop_jobs.welcome", "[1]")

    names = {
        verb: daily(*verb.split(), "-o", "name").stdout.split()
        for verb in ("queues", "recurring list", "recurring show daily")
    }

    assert "mail" in names["queues"]
    assert names["recurring list"] == names["recurring show daily"] == ["daily"]
