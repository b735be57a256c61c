"""What brings .venv up to date, what makes it anew, and what leaves it alone.

The tests share one environment and stand in the order in which it ages.
"""

from __future__ import annotations

import pytest

from setup.machine import PROBE_STATUS, Clone, find_python, make_clone

_ANEW = "jobsd: .venv is of another folder or Python; making it anew (about 20 s) ...\n"
_UPGRADE = "jobsd: bringing .venv up to date with pyproject.toml ...\n"
_TRUE = "tests/test_true.py"
_TEST = "def test_of_the_house() -> None:\n    assert {}\n"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose environment was made by bin/jobs, and that has one test."""
    made = Clone(tmp_path_factory.mktemp("staleness") / "clone")
    make_clone(made.folder)
    (made.folder / _TRUE).write_text(_TEST.format("True"))
    (made.folder / "tests/test_false.py").write_text(_TEST.format("False"))
    assert made.run("bin/jobs").status == PROBE_STATUS
    return made


def _passes(clone: Clone, *arguments: str) -> tuple[int, str]:
    run = clone.run("bin/test", "-q", "--noconftest", *arguments)
    assert "test_of_the_house" in run.out or "1 passed" in run.out, run
    return run.status, run.err


def test_bin_test_adds_the_development_packages_to_a_plain_environment(clone: Clone) -> None:
    status, said = _passes(clone, _TRUE)

    assert (status, said) == (0, _UPGRADE)


def test_the_exit_status_of_bin_test_is_pytest_s(clone: Clone) -> None:
    assert _passes(clone, "tests/test_false.py") == (1, "")


def test_paths_for_bin_test_are_from_the_top_of_the_clone(clone: Clone) -> None:
    run = clone.run("env", "-C", "tests", "../bin/test", "-q", "--co", "--noconftest", _TRUE)

    assert "tests/test_true.py::test_of_the_house" in run.out


def test_bin_jobs_leaves_the_development_packages_alone(clone: Clone) -> None:
    assert clone.run("bin/jobs").err == ""
    assert _passes(clone, _TRUE) == (0, "")


def test_bin_jobs_keeps_the_development_packages_when_it_upgrades(clone: Clone) -> None:
    clone.change_what_is_declared()
    run = clone.run("bin/jobs")

    assert run.err == _UPGRADE
    assert _passes(clone, _TRUE) == (0, "")


def test_a_failed_upgrade_prints_its_reason_and_keeps_the_environment(clone: Clone) -> None:
    declared = clone.folder / "pyproject.toml"
    before = declared.read_text()
    declared.write_text(before.replace('"click>=8.1"', '"click>=8999"'))
    run = clone.run("bin/jobs")
    declared.write_text(before)

    assert run.status == 1
    assert "click>=8999" in run.err
    assert "jobsd: pip can't install what pyproject.toml asks for; it said:" in run.err
    assert clone.run("bin/jobs").err == ""


def test_a_change_of_jobsd_python_makes_the_environment_again(clone: Clone) -> None:
    now = clone.run("bin/jobs").facts["python"]
    others = [v for v in ("3.11", "3.12", "3.13") if v != "{}.{}".format(*now)]
    found = next(filter(None, map(find_python, others)), None)
    if not found:
        pytest.skip("this machine has one version of Python")

    run = clone.run("bin/jobs", JOBSD_PYTHON=found)
    again = clone.run("bin/jobs", JOBSD_PYTHON=found)

    assert run.err == _ANEW
    assert run.facts["python"] != now
    assert (again.err, again.facts["python"]) == ("", run.facts["python"])


def test_the_environment_of_a_moved_clone_is_made_again(clone: Clone) -> None:
    moved = Clone(clone.folder.with_name("moved"))
    clone.folder.rename(moved.folder)
    run = moved.run("bin/jobs")

    assert run.err == _ANEW
    assert run.facts["jobsd"].startswith(str(moved.folder))
