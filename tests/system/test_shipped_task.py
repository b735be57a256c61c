"""The shipped task `clear_finished`, in a tree of an application without recurring.yml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from system.commands import Commands
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

APPLICATION = """
from flask import Flask
from jobsd.flask import Jobs

Jobs(app := Flask("shop"))
"""


@pytest.mark.failure(
    "An application of Django or Flask has no recurring.yml",
    "The shipped `clear_finished` deletes its finished jobs; `status` says that it is shipped.",
)
def test_status_says_that_the_task_of_an_application_is_shipped(
    tmp_path: Path, empty_database: str
) -> None:
    environ = {"JOBSD_IMPORT": "jobsd.flask.setup", "FLASK_APP": "shop"}
    project = Project(tmp_path, empty_database, **environ)
    project.write("shop.py", APPLICATION)
    shown = Commands(project)

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        wait_until(lambda: shown.json("recurring", "list"), 30, tree.reported)

        status, refused = shown("status"), shown("recurring", "remove", "clear_finished")

    assert "every hour at minute 12, shipped with jobsd" in status.stdout
    assert refused.returncode == 6
    assert "it is shipped with jobsd, and a config/recurring.yml, also an empty one" in (
        refused.stderr
    )
