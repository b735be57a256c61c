"""The first run in a clone below a closed home, and what later runs find.

The tests of one clone share its environment, so each leaves it whole.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from layout.house import bare_environment
from setup.machine import PROBE_STATUS, Clone, Started, finish, make_clone, shell


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in a path with spaces below a home of mode 0700, and a link to its command.

    Its owner has a PYTHONPATH, on which a package lies that is newer than what is asked for.
    """
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    stray = home / "stray/click-99.dist-info/METADATA"
    stray.parent.mkdir(parents=True)
    stray.write_text("Metadata-Version: 2.1\nName: click\nVersion: 99\n")
    names = {"HOME": str(home), "PYTHONPATH": str(home / "stray")}
    made = Clone(home / "some clone", umask=0o077, names=names)
    make_clone(made.folder)
    (home / "link").symlink_to("some clone/bin/jobs")
    return made


@pytest.fixture(scope="module")
def first_runs(clone: Clone) -> tuple[Started, Started]:
    """Two first runs at once, through the link and from another directory."""
    link = str(clone.folder.parent / "link")
    pair = [clone.begin("env", "-C", "/", link, "a b", ""), clone.begin("bin/jobs")]
    one, other = (finish(process, given="typed") for process in pair)
    return one, other


@pytest.fixture(scope="module")
def whole(clone: Clone, first_runs: tuple[Started, Started]) -> Clone:
    assert {run.status for run in first_runs} == {PROBE_STATUS}, first_runs
    return clone


def test_two_first_runs_at_once_both_arrive(first_runs: tuple[Started, Started]) -> None:
    assert [run.status for run in first_runs] == [PROBE_STATUS, PROBE_STATUS], first_runs


def test_one_of_two_first_runs_prepares_and_the_other_reports_its_wait(
    first_runs: tuple[Started, Started],
) -> None:
    assert sorted(run.err for run in first_runs) == [
        "jobsd: preparing .venv (first run, about 20 s) ...\n",
        "jobsd: waiting for another start that is preparing .venv ...\n",
    ]


def test_the_daemon_gets_its_arguments_and_its_input(
    first_runs: tuple[Started, Started],
) -> None:
    facts = first_runs[0].facts

    assert facts["arguments"] == ["a b", ""]
    assert facts["stdin"] == "typed"


def test_the_daemon_knows_where_its_project_lies(
    clone: Clone,
    first_runs: tuple[Started, Started],
) -> None:
    homes = {run.facts["home"] for run in first_runs}

    assert homes == {str(clone.folder)}


def test_the_code_that_runs_is_that_of_the_clone(
    clone: Clone,
    first_runs: tuple[Started, Started],
) -> None:
    assert first_runs[0].facts["jobsd"] == str(clone.folder / "src/jobsd/__init__.py")


def test_the_daemon_is_the_process_that_was_started(whole: Clone) -> None:
    process = whole.begin("bin/jobs")
    facts = finish(process).facts

    assert (facts["pid"], facts["group"], facts["session"]) == (process.pid,) * 3


def test_the_daemon_gets_no_file_or_name_of_the_script(whole: Clone) -> None:
    given = bare_environment(**whole.names, extra="mine", venv="mine", mask="mine")
    reported = whole.run("bin/jobs", extra="mine", venv="mine", mask="mine").facts

    of_any_shell_or_python = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}
    found = {
        k: v for k, v in reported["environment"].items() if k not in of_any_shell_or_python
    }
    assert found == {**given, "JOBSD_HOME": str(whole.folder)}
    assert 9 not in reported["files"]


def test_the_umask_reaches_the_daemon_but_not_the_environment(whole: Clone) -> None:
    reported = whole.run("bin/jobs").facts
    installed = next(whole.venv.glob("lib/python*/site-packages/click/__init__.py"))

    assert reported["umask"] == 0o077
    assert stat.S_IMODE(installed.stat().st_mode) == 0o644
    assert stat.S_IMODE(whole.venv.stat().st_mode) == 0o755


def test_the_working_directory_is_not_on_the_path(whole: Clone) -> None:
    assert whole.run("bin/jobs").facts["safe_path"] is True


def test_a_later_run_is_silent(whole: Clone) -> None:
    assert whole.run("bin/jobs").err == ""


def test_a_later_run_needs_no_right_to_write(whole: Clone) -> None:
    before = _listing(whole.folder)
    whole.run("bin/jobs")

    assert _listing(whole.folder) == before


def test_finding_that_nothing_is_to_be_done_takes_less_than_15_ms(whole: Clone) -> None:
    code = """
        best=999
        for try in 1 2 3 4 5 6 7 8 9 10; do
            start=$(date +%s%N); prepare embedded,web; end=$(date +%s%N)
            ms=$(((end - start) / 1000000))
            [ "$ms" -ge "$best" ] || best=$ms
        done
        echo "$best"
    """
    best = shell(code, {}, whole.folder)

    assert int(best.out) < 15


def test_the_package_imports_from_anywhere(whole: Clone) -> None:
    python = str(whole.venv / "bin/python")
    run = whole.run("env", "-C", "/", python, "-c", "import jobsd, jobsd.worker")

    assert (run.status, run.err) == (0, "")


def test_packages_on_the_callers_path_do_not_pass_for_installed(whole: Clone) -> None:
    assert any(whole.venv.glob("lib/python*/site-packages/click"))


def _listing(folder: Path) -> list[tuple[str, int]]:
    entries = [entry for part in (folder, folder / ".venv") for entry in Path(part).iterdir()]
    return sorted((str(entry), entry.stat().st_mtime_ns) for entry in entries)
