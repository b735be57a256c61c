"""The page of what jobs take has the costs of the estimate."""

from __future__ import annotations

from pathlib import Path

from jobsd.operations.capacity import COSTS, FEATURES

PAGE = (Path(__file__).parents[2] / "docs/guide/capacity.md").read_text(encoding="utf-8")
COLUMNS = 6


def test_the_page_has_the_costs() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]

    shown = [tuple(row[1:]) for row in rows if len(row) == COLUMNS and row[0] != "job"]
    assert shown == [tuple(f"{value:,}" for value in cost) for cost in COSTS.values()]
    assert [name for name in FEATURES if f"| `{name}`" not in PAGE] == []
