"""docs/reference/schedules.md lists the differences from the original, each with its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs/reference/schedules.md"
RULE = re.compile(r"^\| `([abc]-[a-z0-9-]+)` \|.*\| `(test_\w+)` \|$", re.MULTILINE)
RULES = RULE.findall(DOCS.read_text(encoding="utf-8"))
FILE_OF_CLASS = {"a": "test_refused.py", "b": "test_as_written.py", "c": "test_beyond.py"}


def test_every_class_has_rules() -> None:
    assert {rule[0] for rule, _ in RULES} == {"a", "b", "c"}


@pytest.mark.parametrize(("rule", "test"), RULES)
def test_a_rule_has_its_test(rule: str, test: str) -> None:
    source = (HERE / FILE_OF_CLASS[rule[0]]).read_text(encoding="utf-8")

    assert f"def {test}(" in source
