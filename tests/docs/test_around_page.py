"""The page of what surrounds jobs: its program prints what the page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PAGE = guide("around")


def test_the_program_of_the_page_prints_the_shown_text(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    (program,), (printed,) = blocks(PAGE, "python"), blocks(PAGE, "text")
    project.write("page.py", program)
    assert project.run("db", "migrate").returncode == 0

    enqueued = project.python("from page import *\ntenant.set('acme')\ngreet.enqueue(7)\n")
    performed = project.python(
        "from page import *\n"
        "from jobsd.enqueueing.client import default_client\n"
        "from jobsd.jobs.current import CurrentJob, running\n"
        "from jobsd.jobs import middleware, registry\n"
        "with default_client().session() as session:\n"
        "    ((args, context),) = session.connection.execute(\n"
        "        'SELECT arguments, context::text FROM jobsd.jobs').fetchall()\n"
        "with running(CurrentJob(1, 1, 'default', 'greet', None, (args, {}), context)):\n"
        "    middleware.perform(registry.get('greet'), args, {})\n"
    )

    assert enqueued == "enqueued greet as ready\n"
    assert performed == printed
