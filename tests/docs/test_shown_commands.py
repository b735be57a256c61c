"""The commands, events and settings that a document names exist."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from docs.pages import GUIDE, HOME
from jobsd.configuration.options import SECTIONS
from jobsd.configuration.setting import settings_of
from jobsd.daemon.cli.cli import commands
from jobsd.events.event_list import EVENTS

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted([HOME / "README.md", *GUIDE.glob("*.md")])
SHOWN = re.compile(
    r"(?:^\$ |^    |`)(?:\.venv/bin/)?(?:bin/jobs|jobsd) ([a-z][^`\n]*)", re.MULTILINE
)
TITLES = ("worker-", "client", "hooks")
"""What follows the program's name in the title of a process."""
SETTINGS = {
    f"{section}.{key}"
    for section, options in SECTIONS.items()
    for _, key, _ in settings_of(options)
}
ROOMS = "|".join(sorted({name.partition(".")[0] for name in EVENTS}))
OF_OTHERS = {"jobs.enqueue", "jobs.py", "job.meta", "job.result", "job.state", "job.error"} | {
    "job.context"
}
"""What is written like an event: a function in SQL, a module, attributes in RQ and in tests."""


def _shown(page: str) -> list[str]:
    """Return the commands that stand at a prompt, indented, or as code in a sentence."""
    lines = [line.split(" | ")[0].strip() for line in SHOWN.findall(page)]
    return [line for line in lines if not line.startswith(TITLES)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_commands_of_a_page_exist(path: Path) -> None:
    for line in _shown(path.read_text(encoding="utf-8")):
        _check(line)


def _check(line: str) -> None:
    found: click.Command = commands
    with click.Context(commands, **commands.context_settings) as context:
        for word in shlex.split(line):
            if word == "--":
                # What follows belongs to another program.
                break
            if word.startswith("--"):
                options = {name for param in found.params for name in param.opts}
                assert word.partition("=")[0] in options, f"{line}: {word}"
            elif isinstance(found, click.Group) and word in found.list_commands(context):
                inner = found.get_command(context, word)
                assert inner is not None
                found = inner
    assert found is not commands, line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_events_and_settings_of_a_page_exist(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{ROOMS})\.(?!yml)[a-z_]+)`", page))

    assert named - EVENTS.keys() - SETTINGS - OF_OTHERS == set()
