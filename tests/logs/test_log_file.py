"""A log that is a file: appended to, moved away, opened again, searched with grep and cut."""

from __future__ import annotations

import logging
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.events.events import emit
from jobsd.logs import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "log/production.log"
    logs.reset()


def _configure(path: Path, form: Any = None, **more: Any) -> None:
    logs.configure(form, "info", kind="worker", name="worker-1", path=path, **more)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_the_file_is_made_for_its_owner_and_group_whatever_the_mask(path: Path) -> None:
    mask = os.umask(0o077)
    try:
        _configure(path)
    finally:
        os.umask(mask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_is_there_is_appended_to_and_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("before\n", encoding="utf-8")
    path.chmod(0o600)

    _configure(path)
    emit("supervisor.ready")

    first, second = _lines(path)
    assert first == "before"
    assert second.startswith('{"timestamp":')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_after_a_rotation_the_next_line_is_in_the_new_file(path: Path) -> None:
    _configure(path)
    emit("supervisor.ready")
    moved = path.rename(path.with_suffix(".1"))
    emit("supervisor.ready")

    logs.reopen()
    emit("supervisor.stopping")

    assert len(_lines(moved)) == 2
    assert ["supervisor.stopping" in line for line in _lines(path)] == [True]


def test_a_file_that_can_not_be_opened_again_is_written_on(path: Path) -> None:
    _configure(path)
    moved = path.rename(path.with_suffix(".1"))
    path.mkdir()

    with pytest.raises(IsADirectoryError):
        logs.reopen()
    emit("supervisor.ready")

    assert len(_lines(moved)) == 1


def test_a_child_that_can_not_open_the_file_writes_where_its_parent_does(path: Path) -> None:
    _configure(path)
    moved = path.rename(path.with_suffix(".1"))
    path.mkdir()

    _configure(path)
    emit("supervisor.ready")

    assert len(_lines(moved)) == 1


def test_a_log_on_stdout_has_nothing_to_open_again() -> None:
    logs.configure("json", "info", kind="worker", name="worker-1", stream=2)

    logs.reopen()

    logs.reset()


def test_the_lines_of_a_file_for_people_are_found_by_the_word_jobsd(path: Path) -> None:
    _configure(path, "console")

    emit("process.replaced", kind="worker", up_s=0.000244091)
    logging.getLogger("app").info("hello")

    ours, other = _lines(path)
    assert " logger=jobsd by=worker[" in ours
    assert "up_s=0.000244091" in ours
    assert "jobsd" not in other
    assert [line.split(" ")[2] for line in (ours, other)] == ["info", "info"]


def test_nothing_that_a_job_prints_goes_past_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    _configure(path, "console")

    logs.take_prints()
    print("by print")

    (line,) = _lines(path)
    assert "by print logger=print" in line


def test_each_step_of_a_job_is_logged_at_info_by_choice(path: Path) -> None:
    _configure(path, "console", lifecycle=True)

    emit("job.started", job_id=7)
    emit("job.finished", job_id=7)
    emit("jobs.claimed", size=1)

    words = [line.split()[2:4] for line in _lines(path)]
    assert words == [["info", "job.started"], ["info", "job.finished"]]
