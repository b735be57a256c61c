"""The page of results: its program gets what the page says from a real tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PAGE = guide("results")
SAYS = """
import asyncio
from threading import Event

enqueued = import_lines.enqueue(["a", "b"])
enqueued.wait(30)
while (said := find(enqueued.id).progress) is None or said["done"] < 2:
    Event().wait(0.05)
print(said["done"], said["total"], said["note"])
asyncio.run(asyncio.wait_for(follow(enqueued.key), 30))
"""


def test_a_program_waits_for_results_of_a_tree(tmp_path: Path, empty_database: str) -> None:
    project = Project(tmp_path, empty_database)
    definitions, (program,) = "\n".join(blocks(PAGE, "python")), blocks(PAGE, "py")
    (printed,) = blocks(PAGE, "text")
    project.write("sums.py", definitions)
    project.write("config/queue.yml", "import: [sums]\nworkers: [{}]\n")

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        got = project.python(f"from sums import *\n{program}{SAYS}")
        tree.terminate()

    assert got == f"{printed}2 2 b\nfinished 2\n"
