"""`restore-report` lists and discards the jobs that have ended since the backup."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands

FINISHED = {"level": "info", "event": "job.finished", "timestamp": "2030-01-01T00:00:00Z"}


@pytest.fixture
def jobs(run: Commands) -> list[int]:
    """Three jobs that wait in the restored database."""
    return [int(run("enqueue", "shop_jobs.welcome", "[1]").stdout) for _ in range(3)]


@pytest.fixture
def lines(session: Session, jobs: list[int]) -> list[str]:
    """The lines of the log by which they have ended, and others."""
    rows = session.connection.execute("SELECT id, created_at FROM jobsd.jobs").fetchall()
    moments = {job_id: moment.isoformat() for job_id, moment in rows}
    of_jobs: list[Any] = [
        {**FINISHED, "job_id": job_id, "created_at": moments[job_id]} for job_id in jobs
    ]
    others: list[Any] = [[], 7, {"event": "job.failed", "job_id": jobs[0]}]
    return ["Traceback (most recent call last):", *map(json.dumps, [*others, *of_jobs])]


def test_jobs_that_have_ended_are_listed_from_several_files(
    run: Commands, jobs: list[int], lines: list[str]
) -> None:
    run.project.write("new.log", "\n".join(lines[:-1]))
    old = run.project.root / "old.log.1.gz"
    old.write_bytes(gzip.compress(f"{lines[-1]}\n".encode()))

    listed = run.json("restore-report", "new.log", "old.log.1.gz")

    assert sorted(row["id"] for row in listed) == jobs
    assert {row["state"] for row in listed} == {"ready"}
    assert {row["ended_at"] for row in listed} == {"2030-01-01T00:00:00+00:00"}
    ids = run("restore-report", "new.log", "old.log.1.gz", "--ids").stdout.split()
    assert sorted(map(int, ids)) == jobs


def test_they_are_discarded_after_consent(
    run: Commands, jobs: list[int], lines: list[str]
) -> None:
    run.project.write("new.log", "\n".join(lines[:-1]))

    refused = run("restore-report", "new.log", "--discard")
    done = run.json("restore-report", "new.log", "--discard", "--yes")

    assert refused.returncode == 6
    assert "refusing to discard 2 jobs without --yes" in refused.stderr
    assert done == {"discarded": jobs[:2], "skipped": []}
    states = {row["id"]: row["state"] for row in run.json("list")}
    assert states == dict(zip(jobs, ("discarded", "discarded", "ready"), strict=True))
    [act] = run.json("audit")
    assert (act["act"], act["jobs"]) == ("discard", 2)
    assert run.json("restore-report", "new.log") == []


def test_a_log_without_ended_jobs_says_what_logs_them(run: Commands) -> None:
    run.project.write("empty.log", "")

    done = run("restore-report", "empty.log")

    assert (done.returncode, done.stdout) == (0, "")
    assert "trees log them with `log_jobs` only" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "FILE..."),
        (("new.log", "--yes"), 2, "--yes needs --discard"),
        (("gone.log",), 5, "gone.log: No such file or directory; expected a log"),
        ((".",), 5, ".: Is a directory; expected a log"),
        (("no.gz",), 1, "no.gz: Not a gzipped file"),
    ],
    ids=str,
)
def test_a_file_that_is_no_log_is_one_clear_error(
    run: Commands, words: tuple[str, ...], status: int, said: str
) -> None:
    run.project.write("no.gz", "plain")

    done = run("restore-report", *words)

    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
