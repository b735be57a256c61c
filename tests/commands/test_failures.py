"""Failed jobs: grouped by class and error, selected by either, and tried without changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import fail

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


@pytest.fixture
def failed(run: Commands, session: Session) -> dict[str, int]:
    """Three failed jobs of two classes with two errors, the last one first in the list."""
    made: dict[str, int] = {}
    for name, kind in (("a", "ValueError"), ("b", "ZeroDivisionError"), ("c", "ValueError")):
        class_name = "DailyCleanupJob" if name == "c" else "shop_jobs.fail"
        made[name] = int(run.json("enqueue", class_name)["id"])
        fail(session, made[name])
        session.connection.execute(
            "UPDATE jobsd.failed_executions SET failed_at = now(),"
            " error = error || jsonb_build_object('type', %s::text) WHERE job_id = %s",
            (kind, made[name]),
        )
    return made


def test_failures_are_grouped_by_class_and_error(run: Commands, failed: dict[str, int]) -> None:
    found = run.json("failures")

    assert [(each["class_name"], each["error_type"], each["jobs"]) for each in found] == [
        ("DailyCleanupJob", "ValueError", 1),
        ("shop_jobs.fail", "ZeroDivisionError", 1),
        ("shop_jobs.fail", "ValueError", 1),
    ]
    assert [each["last_id"] for each in found] == [failed["c"], failed["b"], failed["a"]]
    assert found[0]["message"] == "told to fail"
    assert run.rows("failures")[0][:3] == [
        "DailyCleanupJob",
        "ValueError",
        "1",
    ]


def test_failures_without_failed_jobs_prints_a_note(run: Commands) -> None:
    done = run("failures")

    assert (done.stdout, done.stderr) == ("", "there are no failed jobs\n")


def test_a_group_is_retried_or_discarded(run: Commands, failed: dict[str, int]) -> None:
    group = ("failures", "retry", "shop_jobs.fail", "ValueError")
    assert run.json(*group, "--dry-run") == {"dry_run": True, "jobs": 1, "ids": [failed["a"]]}
    assert run(*group).stderr == "error: refusing to retry 1 failed job without --yes\n"

    assert run.json(*group, "--yes")["retried"] == 1
    assert run.json("failures", "discard", "DailyCleanupJob", "--yes")["discarded"] == 1

    states = {job["id"]: job["state"] for job in run.json("list")}
    assert states == {failed["a"]: "ready", failed["b"]: "failed", failed["c"]: "discarded"}


def test_a_group_without_jobs_is_not_found(run: Commands, failed: dict[str, int]) -> None:
    assert failed
    done = run("failures", "discard", "shop_jobs.fail", "KeyError", "--yes")

    assert done.returncode == 5
    assert done.stderr.startswith("error: there are no failed jobs of shop_jobs.fail with Key")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["--error", "ZeroDivision"], "b"),
        (["--error", "told to"], "abc"),
        (["--error", "Value*fail"], "ac"),
        (["--error", "value"], ""),
        (["--error", "100%"], ""),
        (["--class", "shop_jobs.*"], "ab"),
        (["--class", "shop?jobs.fai?", "--error", "Value"], "a"),
        (["--class", "shop_job_.fail"], ""),
        (["--class", "shop_jobs"], ""),
    ],
    ids=" ".join,
)
def test_jobs_are_found_by_patterns(
    run: Commands, failed: dict[str, int], filters: list[str], names: str
) -> None:
    found = {job["id"] for job in run.json("list", *filters)}

    assert found == {failed[name] for name in names}


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_dry_run_changes_nothing(run: Commands, failed: dict[str, int], verb: str) -> None:
    before = run.json("list")

    done = run(verb, "--all", "--error", "Zero", "--dry-run")

    assert (done.returncode, done.stdout) == (0, "1\n")
    assert run(verb, str(failed["a"]), "--dry-run").stdout == "1\n"
    assert run.json("list") == before


def test_a_dry_run_of_a_queue_changes_nothing(run: Commands) -> None:
    run.json("enqueue", "shop_jobs.welcome", "[1]")

    assert run.json("queues", "clear", "mail", "--dry-run") == {
        "queue_name": "mail",
        "dry_run": True,
        "jobs": 1,
    }
    assert [job["state"] for job in run.json("list")] == ["ready"]
