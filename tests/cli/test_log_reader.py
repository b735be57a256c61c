"""A log is followed while it is written, rotated and cut."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.cli import log_reader
from jobsd.daemon.cli.log_reader import Line, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_reader, "POLL_S", 0)
    path = tmp_path / "jobs.log"
    path.write_text("first\nsec", encoding="utf-8")
    return path


def _new(followed: Iterator[str | None]) -> list[str]:
    """Return the lines up to where that is all for now."""
    return [*iter(lambda: next(followed), None)]


def test_a_line_that_is_being_written_is_read_once_it_has_its_end(log: Path) -> None:
    followed = log_reader._of_file(str(log), follow=True)
    before = _new(followed)

    with log.open("a", encoding="utf-8") as file:
        file.write("ond\nthird\n")

    assert (before, _new(followed)) == (["first"], ["second", "third"])


@pytest.mark.parametrize("rotated", [True, False], ids=["moved", "cut"])
def test_lines_after_a_rotation_are_read(log: Path, *, rotated: bool) -> None:
    followed = log_reader._of_file(str(log), follow=True)
    _new(followed)

    if rotated:
        log.rename(log.with_suffix(".1"))
    log.write_text("new\n", encoding="utf-8")

    # The old file is read to its end before it is noticed.
    assert _new(followed) + _new(followed) == ["new"]


@pytest.mark.parametrize("text", ["told to", "job.failed"])
def test_a_stack_is_searched_too(text: str) -> None:
    line = Line("job.failed", {}, is_json=False, rest=("    ValueError: told to fail",))

    assert Wanted(grep=re.compile(text)).admits(line)
    assert not Wanted(grep=re.compile("KeyError")).admits(line)
