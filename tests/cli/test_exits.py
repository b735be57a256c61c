"""How a command ends by what went wrong, where two things can be said of it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd import errors
from jobsd.daemon import statuses
from jobsd.daemon.cli import job_selection
from jobsd.daemon.cli.job_selection import Filters, Left, Progress
from jobsd.daemon.tree import exits
from jobsd.errors import ConfigurationError, Fault
from jobsd.operations.times import read_period

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_output_that_a_disk_refuses_is_one_sentence(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[bool] = []
    monkeypatch.setattr(exits, "drop_output", lambda: dropped.append(True))

    status = exits.report(OSError(number, os.strerror(number)))
    of_a_file = exits.report(OSError(number, os.strerror(number), "a.yml"))

    reported = capsys.readouterr().err
    assert reported.startswith(f"error: can't write the output: {os.strerror(number)}\n")
    assert (status, of_a_file, dropped) == (statuses.FAILED, statuses.CRASHED, [True])


@pytest.mark.parametrize(
    ("sources", "status"),
    [
        (["--threads", "--queues"], statuses.USAGE),
        (["--threads", "config/queue.yml:1:1"], statuses.CONFIGURATION),
        (["config/queue.yml:1:1"], statuses.CONFIGURATION),
    ],
)
def test_wrong_usage_is_the_status_only_if_all_faults_are_of_flags(
    sources: list[str], status: int
) -> None:
    faults = tuple(Fault("is wrong", source) for source in sources)

    assert exits.report(ConfigurationError(faults)) == status


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (psycopg.errors.InsufficientPrivilege("permission denied"), "db grants"),
        (psycopg.errors.LockNotAvailable("lock timeout"), "try again"),
        (psycopg.errors.UndefinedTable("no jobsd.jobs"), "db migrate"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_an_error_of_the_database_is_printed_with_its_remedy(
    fault: psycopg.Error, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exits.report(fault)

    assert hint in capsys.readouterr().err.splitlines()[-1]


def test_a_duplicate_is_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.DuplicateError("app.mail", "app.mail/1", 7)

    assert exits.report(error) == statuses.REFUSED
    assert "job 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (Left({1: "is ready"}, [2]), statuses.NOT_FOUND),
        (Left({1: "is ready"}, []), statuses.REFUSED),
        (Left({}, [2]), statuses.NOT_FOUND),
        (Left({}, []), statuses.DONE),
    ],
)
def test_a_missing_job_outranks_a_refused_one_in_the_exit_status(
    left: Left, status: int
) -> None:
    assert left.status == status


def test_the_audit_names_each_filter() -> None:
    since = read_period("1h")
    given = Filters("failed", None, "app.*", "SMTP", since, read_period("90s..5s"))

    assert given.text() == (
        "jobs with state=failed, class_name=app.*, error=SMTP, since=1h, finished_since=90s..5s"
    )
    none = Filters()
    assert none._replace(tags=("eu", "vip")).text() == "jobs with tag=eu, tag=vip"
    assert none.text() == "all jobs"


@pytest.mark.parametrize("done", [3, 5])
def test_jobs_that_had_moved_on_are_reported(
    done: int, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("retried", 5)
    progress.add(done)

    result = job_selection.all_of(progress, {"retried": done}, "retried")

    assert ("skipped 2 jobs" in capsys.readouterr().err) == (done == 3)
    assert result.document == {"retried": done, "skipped": 5 - done}


def test_files_that_vanish_during_a_search_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobsd.daemon.web_companion import source_watch

    (tmp_path / "stays.py").touch()
    (tmp_path / "goes.py").symlink_to("nowhere.py")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/library.py").touch()
    (tmp_path / "app").mkdir()
    (tmp_path / "app/jobs.py").touch()
    monkeypatch.setattr(source_watch, "_FILES_MAX", 10)

    found = source_watch.files_below(tmp_path)

    assert sorted(found) == [str(tmp_path / "app/jobs.py"), str(tmp_path / "stays.py")]
