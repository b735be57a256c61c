"""A step that a release has is never changed: tables that it has made would be foreign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.database.steps import Migration, migrations, statements_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).with_name("frozen_steps.txt")


def _line(step: Migration) -> str:
    return f"{step.title} {step.hash}"


def _frozen() -> list[str]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def faults(frozen: list[str], steps: Iterable[Migration]) -> list[str]:
    """Return what is wrong with the steps once the first one is frozen."""
    if not frozen:
        return []
    now = {step.title: _line(step) for step in steps}
    then = {line.split()[0]: line for line in frozen}
    changed = [f"{title} was changed" for title in then if now.get(title) != then[title]]
    return changed + [f"add the line: {now[title]}" for title in now.keys() - then.keys()]


def test_no_frozen_step_has_changed_and_no_later_one_is_left_out() -> None:
    assert faults(_frozen(), migrations()) == []


def test_a_frozen_step_that_changes_a_new_one_and_a_lost_one_are_named() -> None:
    first, second = (Migration(50, "tables", "CREATE"), Migration(51, "more", "ALTER"))
    frozen = [_line(first)]

    changed = [Migration(50, "tables", "CREATE more")]
    added = f"add the line: 0051_more {statements_hash('ALTER')}"

    assert faults([], [first, second]) == []
    assert faults(frozen, [first]) == []
    assert faults(frozen, [Migration(50, "tables", "CREATE  -- better said")]) == []
    assert faults(frozen, changed) == ["0050_tables was changed"]
    assert faults(frozen, [first, second]) == [added]
    assert faults([*frozen, _line(second)], [first]) == ["0051_more was changed"]
