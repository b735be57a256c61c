"""The help fits on a screen, and says once what all commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from docs.commands_page import leaves
from jobsd.daemon.cli import cli, topics
from jobsd.daemon.cli.help import SECTIONS, Helpful, Shared

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 80
LINES, LINES_OF_LONG = 24, 55
LONG = {"start", "with", "list", "retry"}
"""Commands with more options of their own than fit on the smallest screen."""


def _commands() -> Iterator[tuple[str, click.Command]]:
    root = click.Context(cli.commands, info_name="", **cli.commands.context_settings)
    for context in leaves(cli.commands, root):
        yield context.command_path.strip(), context.command


def _printed(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    monkeypatch.setattr("sys.argv", ["bin/jobs"])
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert cli.run(words) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("path", [path for path, _ in _commands()])
def test_the_help_of_a_command_fits_on_a_screen(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = _printed([*path.split(), "-h"], capsys, monkeypatch)

    assert max(map(len, printed)) <= WIDTH
    assert len(printed) <= (LINES_OF_LONG if path in LONG else LINES)


@pytest.mark.parametrize("topic", topics.TOPICS)
def test_a_topic_fits_into_its_width(
    topic: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(map(len, _printed(["help", topic], capsys, monkeypatch))) <= WIDTH


def test_each_shared_option_is_described_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = "\n".join(_printed(["help", "options"], capsys, monkeypatch))
    shared = [
        each for _, found in _commands() for each in found.params if isinstance(each, Shared)
    ]

    assert {each.section for each in shared} == set(SECTIONS)
    for each in shared:
        assert printed.count(f"{', '.join(each.opts)} ") == 1, each.opts


def test_a_help_describes_or_names_each_option() -> None:
    for path, found in _commands():
        if isinstance(found, Helpful):
            options = [each for each in found.params if isinstance(each, click.Option)]
            written = [*found.own_options(), *found.shared_options()]
            assert sorted(map(str, written)) == sorted(map(str, options)), path


def test_the_help_of_a_command_names_the_shared_options_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = _printed(["show", "-h"], capsys, monkeypatch)

    shared = "Shared options (`jobs help options`): --database-url -c --json -o --color"
    assert printed[-1] == shared
    assert not any("JOBSD_CONFIG" in line for line in printed)


def test_each_topic_stands_in_the_first_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = _printed(["-h"], capsys, monkeypatch)

    assert list(cli.HELP_TOPICS) == list(topics.TOPICS)
    for topic, does in cli.HELP_TOPICS.items():
        assert any(line.split() == ["help", topic, *does.split()] for line in printed)


def test_an_unknown_topic_is_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["help", "option"]) == 2

    assert "there is no command 'option'" in capsys.readouterr().err
