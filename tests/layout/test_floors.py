"""Imports between the floors of the house."""

from __future__ import annotations

import re
import subprocess

from layout.house import ROOT, packaged_files, tool


def test_imports_go_down_only() -> None:
    report = subprocess.run(
        [tool("lint-imports"), "--no-cache"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert report.returncode == 0, report.stdout
    analyzed = re.search(r"Analyzed (\d+) files", report.stdout)
    assert analyzed, report.stdout
    modules = {name for name in packaged_files() if name.endswith(".py")}
    assert int(analyzed[1]) == len(modules), "the linter does not see each module once"
