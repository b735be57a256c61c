"""The program and the entry of the page about recurring tasks do what the page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from system.commands import Commands

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PAGE = guide("recurring")
[PROGRAM] = blocks(PAGE, "python")
OFF = blocks(PAGE, "yaml")[-1]


def test_the_schedules_of_the_page_are_tasks_that_its_entry_turns_off(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, "postgresql://nowhere.invalid/none")
    run = Commands(project)
    project.write("app/__init__.py", "")
    project.write("app/mail.py", PROGRAM)
    project.write("config/queue.yml", "import: [app.mail]\n")

    found = run.json("check")["code_tasks"]

    assert [(task["key"], task["source"]) for task in found] == [
        ("reminders", "code app/mail.py:9"),
        ("app.mail.sweep", "code app/mail.py:4"),
    ]
    assert run("recurring", "run", "reminders", "--here").stdout == "reminded 42\n"
    project.write("config/recurring.yml", OFF)
    assert [task["key"] for task in run.json("check")["code_tasks"]] == ["app.mail.sweep"]
