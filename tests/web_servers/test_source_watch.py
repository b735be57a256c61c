"""Which files of a project are watched, and at which ends of the tree the watch goes on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.web_companion import source_watch
from jobsd.daemon.web_companion.sibling import Exit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_change_of_the_time_alone_is_one_and_so_is_a_change_of_the_size_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "jobs.py"
    file.write_text("one = 1")
    os.utime(file, (1, 1))
    first = source_watch.files_below(tmp_path)

    os.utime(file, (2, 2))
    second = source_watch.files_below(tmp_path)
    file.write_text("three = 3")
    os.utime(file, (2, 2))

    assert first != second != source_watch.files_below(tmp_path)


def test_no_further_folder_is_read_once_the_most_files_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "jobs.py").touch()
    monkeypatch.setattr(source_watch, "_FILES_MAX", 2)

    assert len(source_watch.files_below(tmp_path)) == 2


@pytest.mark.parametrize(
    ("status", "goes_on"), [(0, False), (130, False), (1, True), (2, True), (78, True)]
)
def test_a_watch_waits_for_a_change_after_a_fault_and_ends_with_a_tree_that_was_stopped(
    tmp_path: Path, status: int, *, goes_on: bool
) -> None:
    watch = source_watch.SourceWatch(tmp_path)

    assert watch.after_exit(Exit(status)) is goes_on
