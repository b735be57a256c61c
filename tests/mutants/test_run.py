"""A mutation run tells who is killed, who lives, and whose text is not there."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from layout.house import ROOT
from mutants import command
from mutants.copied import Copy
from mutants.results import Result, Results
from mutants.run import UntestableError, check, try_one
from mutants.table import Mutant, TextError, missing, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLED = Mutant(
    room="jobs",
    name="one-more",
    breaks="A job is tried once more than it may be.",
    file="src/jobsd/jobs/policy.py",
    find="if attempt >= attempts_max or",
    put="if attempt > attempts_max or",
    test="tests/jobs/test_policy.py::test_an_error_is_judged_by_its_class_and_the_attempt",
)


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    made = Copy()
    yield made
    made.remove()


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "build/mutants.tsv")


def test_a_mutant_that_its_test_sees_is_killed_and_the_copy_is_whole_again(
    copy: Copy, server_url: str
) -> None:
    result = try_one(copy, KILLED, server_url)

    assert (result.outcome, result.by.partition("[")[0]) == ("killed", KILLED.test)
    assert (copy.root / KILLED.file).read_bytes() == (ROOT / KILLED.file).read_bytes()


def test_a_mutant_that_its_test_does_not_see_survives(copy: Copy, server_url: str) -> None:
    unseen = replace(KILLED, put="if attempt >= attempts_max or False or")

    assert try_one(copy, unseen, server_url).outcome == "survived"


def test_a_missing_test_does_not_kill_a_mutant(copy: Copy, server_url: str) -> None:
    misnamed = replace(KILLED, test="tests/jobs/test_policy.py::test_no_such_thing")

    with pytest.raises(UntestableError, match="one-more"):
        try_one(copy, misnamed, server_url)


def test_a_missing_environment_does_not_kill_a_mutant(
    copy: Copy, server_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It ends with 1, like a test that has failed: once, all mutants counted as killed."""
    broken = tmp_path / "pytest"
    broken.write_text("#!/bin/sh\necho 'No module named pytest'\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(Copy, "pytest", str(broken))

    with pytest.raises(UntestableError, match="No module named pytest"):
        try_one(copy, KILLED, server_url)


def test_pytest_does_not_compare_long_lists_as_it_does_where_ci_is_set(
    copy: Copy, server_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It took a minute to say how 500 rows differ, and the mutant could not be tried."""
    shown = tmp_path / "pytest"
    shown.write_text('#!/bin/sh\necho "CI=$CI"\nexit 2\n', encoding="utf-8")
    shown.chmod(0o755)
    monkeypatch.setattr(Copy, "pytest", str(shown))
    monkeypatch.setenv("CI", "true")

    with pytest.raises(UntestableError, match=r"CI=$"):
        try_one(copy, KILLED, server_url)


def test_an_untestable_mutant_does_not_end_the_run(
    copy: Copy, server_url: str, results: Results
) -> None:
    misnamed = replace(KILLED, name="other", test=f"{KILLED.test_file}::test_no_such_thing")
    endless = float("inf")

    with pytest.raises(UntestableError, match="1 could not be tried"):
        command._try_each(copy, [misnamed, KILLED], results, server_url, endless)

    assert results.of(misnamed, copy.root) is None
    assert results.of(KILLED, copy.root) is not None


def test_tests_that_fail_without_a_mutant_end_the_run(copy: Copy, server_url: str) -> None:
    failing = copy.root / "tests/jobs/test_failing.py"
    failing.write_text("def test_it() -> None:\n    raise ValueError\n", encoding="utf-8")

    with pytest.raises(UntestableError, match="without a mutant"):
        check(copy, ["tests/jobs/test_failing.py::test_it"], server_url)


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"find": "no such text"}, "stands 0 times"),
        ({"file": "src/jobsd/no_such_file.py"}, "stands 0 times"),
        ({"find": "attempt"}, "stands [1-9][0-9]+ times"),
        ({"find": "attempt", "which": 99}, "stands only"),
        ({"put": KILLED.find}, "changes nothing"),
    ],
)
def test_a_text_that_is_not_to_be_found_once_is_reported(
    change: dict[str, Any], reported: str
) -> None:
    lost = replace(KILLED, **change)

    with pytest.raises(TextError, match=reported):
        lost.text(ROOT)
    assert len(missing([KILLED, lost], ROOT)) == 1


def test_one_of_several_places_is_taken_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "three.sql").write_text("a lock, a lock, a lock", encoding="utf-8")
    second = replace(KILLED, file="three.sql", find="a lock", put="none", which=2)

    assert second.text(tmp_path) == "a lock, none, a lock"


def test_a_table_is_read_by_its_room(tmp_path: Path) -> None:
    columns = ("breaks", "file", "find", "put", "test")
    lines = [f'{name} = "{getattr(KILLED, name)}"' for name in columns]
    (tmp_path / "jobs.toml").write_text("\n".join(["[one-more]", *lines]), encoding="utf-8")

    assert read(tmp_path) == [KILLED]


def test_an_interrupted_run_continues_with_its_results(
    results: Results, tmp_path: Path
) -> None:
    results.add(KILLED, Result("killed", 1.5, KILLED.test))

    again = Results(tmp_path / "build/mutants.tsv")

    assert again.of(KILLED) == Result("killed", 1.5, KILLED.test)
    assert again.of(replace(KILLED, put="if")) is None


def test_a_changed_mutant_is_tried_again(results: Results, tmp_path: Path) -> None:
    results.add(KILLED, Result("killed", 1.5))
    changed = tmp_path / "changed"
    for name in (KILLED.file, KILLED.test_file):
        path = changed / name
        path.parent.mkdir(parents=True)
        path.write_bytes((ROOT / name).read_bytes() + b"\n")

    assert results.of(KILLED) is not None
    assert results.of(KILLED, changed) is None


@pytest.mark.parametrize(
    ("outcome", "lives", "status"),
    [("killed", "", 0), ("survived", "", 1), ("survived", "nobody can", 0)],
)
def test_a_run_with_a_survivor_ends_with_1_unless_that_is_known(
    results: Results, monkeypatch: pytest.MonkeyPatch, outcome: str, lives: str, status: int
) -> None:
    tried = replace(KILLED, lives=lives)
    results.add(tried, Result(outcome, 1.5))
    monkeypatch.setattr(command, "read", lambda: [tried])
    monkeypatch.setattr(command, "Results", lambda: results)

    assert command.main([]) == status


def test_a_run_with_a_text_that_is_gone_tries_nothing_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = replace(KILLED, find="no such text")
    monkeypatch.setattr(command, "read", lambda: [KILLED, lost])

    assert command.main([]) == 2
    assert "stands 0 times" in capsys.readouterr().out
