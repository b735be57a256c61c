"""The configurations that the guide shows are accepted, and what it calls a default is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.database.connection import any_server_will_do

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.configuration.options import Options

PRODUCTION = {"JOBSD_ENV": "production"}
MAIL = "from jobsd import job\n@job\ndef remind(user_id): ...\n"
TASKS = "def sweep(batch): ...\n"


def _load(root: Path, queue: str) -> Options:
    file = root / "config/queue.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(queue, encoding="utf-8")
    return load(root, PRODUCTION, Flags())


def test_the_settings_of_the_page_are_the_defaults(tmp_path: Path) -> None:
    (shown,) = blocks(guide("configuration"), "yaml")

    read, built_in = _load(tmp_path, shown), _load(tmp_path, "")

    for part in ("database", "dispatchers", "workers", "scheduler", "supervisor", "jobs"):
        assert getattr(read, part) == getattr(built_in, part), part


@pytest.mark.parametrize("page", ["workers", "pgbouncer"])
def test_the_configuration_of_a_page_is_accepted(page: str, tmp_path: Path) -> None:
    (shown,) = blocks(guide(page), "yaml")

    _load(tmp_path, shown)


def test_the_urls_of_the_page_on_failover_are_accepted(tmp_path: Path) -> None:
    for shown in blocks(guide("high-availability"), "yaml"):
        database = _load(tmp_path, shown).database

        for url in filter(None, (database.url, database.listen_url)):
            assert not any_server_will_do(url)


@pytest.mark.system
def test_the_tasks_of_the_page_are_accepted(tmp_path: Path) -> None:
    project = Project(tmp_path, "postgresql:///nowhere")
    project.write("app/mail.py", MAIL)
    project.write("app/tasks.py", TASKS)
    project.write("config/queue.yml", "import: [app.mail]\n")
    project.write("config/recurring.yml", blocks(guide("recurring"), "yaml")[0])

    checked = project.run("check")

    assert checked.returncode == 0, checked.stderr
