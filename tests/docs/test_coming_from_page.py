"""What docs/guide/coming-from.md offers for others' words is there, and does what it says."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import jobsd
from harness.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target

pytestmark = pytest.mark.system

PAGE = (Path(__file__).parents[2] / "docs/guide/coming-from.md").read_text(encoding="utf-8")
OURS = [
    code
    for line in PAGE.splitlines()
    if line.startswith("| ")
    for code in re.findall(r"`([^`]+)`", line.split(" | ", 1)[1])
]
"""What the second columns show."""
CALLS = [code for code in OURS if re.match(r"(welcome|f|using|raise)\b.*\)$", code)]
COMMANDS = dict.fromkeys(
    match[1]
    for code in OURS
    if (match := re.match(r"bin/jobs ([a-z][a-z-]*(?: [a-z-]+)*)", code))
)


@pytest.fixture
def names(target: Target) -> Iterator[dict[str, Any]]:
    jobsd.configure(target.url)

    @jobsd.job(name="coming.welcome")
    def welcome(user_id: int) -> int:
        return user_id

    mine: dict[str, Any] = {"welcome": welcome, "f": welcome, "using": welcome.using}
    yield {**{name: getattr(jobsd, name) for name in jobsd.__all__}, **mine}
    jobsd.configure(client=None)


@pytest.mark.parametrize("code", [call for call in CALLS if "=…" not in call])
def test_a_call_of_the_page_is_one(names: dict[str, Any], code: str) -> None:
    names |= {"moment": datetime(2100, 1, 1, tzinfo=UTC), "timedelta": timedelta}
    filled = code.replace("timedelta(…)", "timedelta(minutes=5)").replace("n for n in …", "1")

    asks: type[Exception] = names.get(
        code.partition("(")[0].removeprefix("raise "), LookupError
    )
    with contextlib.suppress(asks):
        exec(compile(filled, "docs/guide/coming-from.md", "exec"), names)  # noqa: S102 - our own page


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_page_is_one(tmp_path: Path, words: str) -> None:
    done = Project(tmp_path, "postgresql:///nowhere").run(*words.split(), "--help")

    command = words.partition(" --")[0]
    assert (done.returncode, f"Usage: bin/jobs {command} [OPTIONS" in done.stdout) == (0, True)
