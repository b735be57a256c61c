"""Every checker is content, and has seen every file: the links hide the rooms from some."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from layout.house import ROOT, files, tool

# Without what they keep from one run to the next, on a busy machine.
pytestmark = pytest.mark.timeout(600)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool(command[0]), *command[1:]],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


def test_ruff_has_no_complaints() -> None:
    report = _run("ruff", "check", "--no-cache", "--output-format=concise")

    assert report.returncode == 0, report.stdout


def test_ruff_sees_every_file_once() -> None:
    report = _run("ruff", "check", "--show-files")

    seen = [name for name in report.stdout.splitlines() if name.endswith(".py")]
    assert sorted(seen) == [str(ROOT / name) for name in files(".py")]


def test_every_file_is_formatted() -> None:
    report = _run("ruff", "format", "--no-cache", "--check")

    assert report.returncode == 0, report.stdout


def test_mypy_has_no_complaints_about_the_package_and_the_tests() -> None:
    report = _run("mypy")

    assert report.returncode == 0, report.stdout
    checked = re.search(r"in (\d+) source files", report.stdout)
    elsewhere = ("docs/", "packaging/")
    expected = [name for name in files(".py") if not name.startswith(elsewhere)]
    assert checked, report.stdout
    assert int(checked[1]) == len(expected)


def test_pyright_has_no_complaints() -> None:
    report = _run("pyright", "--outputjson")

    summary = json.loads(report.stdout)
    complaints = [
        f"{c['file']}:{c['range']['start']['line'] + 1}: {c['message']}"
        for c in summary["generalDiagnostics"]
    ]
    assert not complaints, "\n".join(complaints)
    assert summary["summary"]["filesAnalyzed"] >= len(files(".py"))


def test_mypy_refuses_the_wrong_calls_of_users_and_no_others(tmp_path: Path) -> None:
    calls, wrong = _calls_of_users(tmp_path)

    report = _run("mypy", "--no-error-summary", str(calls))

    found = re.findall(r"calls_of_users\.py:(\d+): error", report.stdout)
    assert {*map(int, found)} == wrong, report.stdout


def test_pyright_refuses_the_wrong_calls_of_users_and_no_others(tmp_path: Path) -> None:
    calls, wrong = _calls_of_users(tmp_path)
    settings = {"typeCheckingMode": "strict", "venvPath": str(ROOT), "venv": ".venv"}
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({**settings, "extraPaths": [str(ROOT / "src")]})
    )

    report = _run("pyright", "--outputjson", "--project", str(tmp_path))

    complaints = json.loads(report.stdout)["generalDiagnostics"]
    assert {c["range"]["start"]["line"] + 1 for c in complaints} == wrong, report.stdout
    assert {Path(c["file"]).name for c in complaints} == {calls.name}


def _calls_of_users(folder: Path) -> tuple[Path, set[int]]:
    """Return the module, and the numbers of the lines that a checker is to refuse."""
    text = (Path(__file__).parent / "calls_of_users.txt").read_text(encoding="utf-8")
    calls = folder / "calls_of_users.py"
    calls.write_text(text, encoding="utf-8")
    lines = enumerate(text.splitlines(), 1)
    return calls, {number for number, line in lines if line.endswith("# wrong")}
