"""The times and sizes of a worker stand in one module, and are few."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING

from layout.house import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONSTANTS = ROOT / "worker" / "constants.py"
CONSTANTS_MAX = 25


def test_a_worker_has_few_times_and_sizes_and_each_has_a_reason() -> None:
    found = [*_numbers(CONSTANTS)]
    body = ast.parse(CONSTANTS.read_text(encoding="utf-8")).body
    reasons = [
        each
        for before, each in pairwise(body)
        if isinstance(before, ast.Assign) and isinstance(each, ast.Expr)
    ]

    assert len(reasons) == len(found) <= CONSTANTS_MAX


def test_no_other_module_of_a_worker_has_a_time_or_a_size_of_its_own() -> None:
    modules = sorted((ROOT / "worker").rglob("*.py"))
    others = {path.name: [*_numbers(path)] for path in modules if path != CONSTANTS}

    assert len(others) > 10
    assert {name: found for name, found in others.items() if found} == {}


def _numbers(path: Path) -> Iterator[str]:
    """Yield the names that a module gives to times and sizes, but for places of an index."""
    for each in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(each, ast.Assign):
            continue
        numbers = [one for one in ast.walk(each.value) if isinstance(one, ast.Constant)]
        names = [one.id for one in ast.walk(each.targets[0]) if isinstance(one, ast.Name)]
        plain = all(isinstance(one.value, int | float) for one in numbers)
        if numbers and plain and names[0].isupper() and not names[0].startswith("_"):
            yield from names
