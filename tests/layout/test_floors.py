"""Imports between the floors of the house."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from layout.house import ROOT, files, packaged_files, tool


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


@pytest.mark.parametrize("room", ["schedules", "embedded"])
def test_a_room_that_stands_alone_imports_only_the_ground_floor(room: str) -> None:
    sources = [name for name in files(".py") if name.startswith(f"src/jobsd/{room}/")]
    imported = {
        f"jobsd.{each.name}" if node.module == "jobsd" else node.module
        for name in sources
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module
        for each in node.names
    }

    assert sources
    assert {name for name in imported if name.startswith("jobsd")} <= {
        "jobsd.clock",
        "jobsd.errors",
    }


@pytest.mark.parametrize(
    "room",
    ["src/jobsd/schedules/", "src/jobsd/recurring/", "src/jobsd/heartbeat/", "scheduler/"],
)
def test_the_modules_of_a_room_import_each_other_in_one_direction(room: str) -> None:
    below = {
        name.removeprefix(room).removesuffix(".py"): _imported_siblings(name)
        for name in files(".py")
        if name.startswith(room)
    }

    while leaves := {module for module, imports in below.items() if not imports & below.keys()}:
        for leaf in leaves:
            del below[leaf]

    assert below == {}, "these import each other, for type checkers at least"


def _imported_siblings(name: str) -> set[str]:
    imports = [
        node
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 1
    ]
    named = {node.module for node in imports if node.module}
    return named | {alias.name for node in imports if not node.module for alias in node.names}
