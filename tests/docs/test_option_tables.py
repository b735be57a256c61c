"""The tables of the options of a job and of an enqueue name all of them, and no other."""

from __future__ import annotations

import re

import pytest

from docs.pages import guide
from jobsd.jobs.job_options import JobOptions, UsingOptions

CONNECTIONS = {"connection", "after_commit"}
"""What `using` takes beside the options of one enqueue."""


def _named(page: str, head: str) -> set[str]:
    """Return the words in the first column of the table with this head."""
    table = guide(page).partition(f"| {head} |")[2].partition("\n\n")[0]
    firsts = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")]
    return {name for first in firsts for name in re.findall(r"`(\w+)`", first)}


@pytest.mark.parametrize(
    ("page", "head", "options"),
    [
        ("jobs", "option", set(JobOptions.__annotations__)),
        ("enqueue", "option of `using`", set(UsingOptions.__annotations__) | CONNECTIONS),
    ],
)
def test_a_table_names_every_option(page: str, head: str, options: set[str]) -> None:
    assert _named(page, head) == options
