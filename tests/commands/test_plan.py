"""`plan` reads the configuration and answers without a database."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.operations.capacity import FEATURES
from system.terminal import on_a_terminal

if TYPE_CHECKING:
    from system.commands import Commands

QUEUE = """\
workers:
  - {queues: urgent, threads: 5, processes: 2}
  - {queues: "*", coroutines: 100}
dispatchers: [{}, {}]
jobs: {clear_finished_jobs_after: 7d}
database: {url: "postgresql://nobody@localhost:1/none"}
"""


def test_the_plan_reads_the_configuration_and_asks_no_database(run: Commands) -> None:
    run.project.write("config/queue.yml", QUEUE)

    found = run.json("plan", "--jobs-per-day", "1M")

    assert (found["at_once"], found["keep_s"], found["kept_jobs"]) == (110, 604800, 7_000_000)
    # The supervisor; the monitor, two dispatchers, three workers.
    assert (found["memory_mib"], found["connections"]) == (80 + 3 * 12, 6)


def test_the_command_of_the_page_answers(run: Commands) -> None:
    page = (Path(__file__).parents[2] / "docs/guide/capacity.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ bin/jobs (.+)$", page, re.MULTILINE)

    assert run.json(*shlex.split(line))["kept_jobs"] == 140_000_000


def test_nothing_is_kept_where_the_configuration_keeps_nothing(run: Commands) -> None:
    run.project.write("config/queue.yml", "jobs: {preserve_finished_jobs: false}\n")

    assert run.json("plan", "--jobs-per-day", "1k", "--keep", "7d")["kept_jobs"] == 0


def test_people_read_a_line_for_each_need(run: Commands) -> None:
    words = ("plan", "--jobs-per-day", "20M", "--keep", "7d", "--with", FEATURES[0])

    screen = on_a_terminal(run, *words, width=120)

    for title in (
        "jobs",
        "at once",
        "cores of workers",
        "memory",
        "connections",
        "WAL",
        "disk",
    ):
        assert any(line.startswith(f"{title} ") for line in screen), screen
    assert any("140,000,000 finished jobs" in line for line in screen)


@pytest.mark.parametrize("number", ["20Mk", "0", "-3", "nan", "1e400", "k", ""])
def test_a_number_that_is_none_is_refused(run: Commands, number: str) -> None:
    done = run("plan", "--jobs-per-day", number)

    assert done.returncode == 2
    assert "is not a number of jobs; write 1200, 500k or 20M" in done.stderr
