"""The tables of mutants are of the tree as it is: every text and every test is there."""

from __future__ import annotations

import ast
import re

from layout.house import ROOT
from mutants.table import Mutant, missing, read

MUTANTS = read()
MIGRATIONS = "src/jobsd/database/migrations/"
_FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION jobsd\.(\w+)\b.*?AS (\$\w*\$).*?\2", re.DOTALL
)


def test_every_text_stands_in_its_file_once() -> None:
    assert missing(MUTANTS, ROOT) == []


def test_every_test_that_a_mutant_names_is_there() -> None:
    gone = [f"{mutant.id}: {mutant.test}" for mutant in MUTANTS if not _is_there(mutant)]

    assert gone == []


def test_no_mutant_is_in_a_function_that_a_later_migration_replaces() -> None:
    migrations = sorted((ROOT / MIGRATIONS).rglob("*.sql"))
    last = {
        function[1]: str(path.relative_to(ROOT))
        for path in migrations
        for function in _FUNCTION.finditer(path.read_text(encoding="utf-8"))
    }
    replaced = [
        f"{mutant.id}: {function} is in {last[function]}"
        for mutant in MUTANTS
        if mutant.file.startswith(MIGRATIONS)
        and (function := _function(mutant))
        and last[function] != mutant.file
    ]

    assert replaced == []


def test_a_mutant_of_a_python_file_is_valid_python() -> None:
    for mutant in MUTANTS:
        if mutant.file.endswith(".py"):
            ast.parse(mutant.text(ROOT), mutant.id)


def test_there_are_many_of_which_few_live() -> None:
    effective = [mutant for mutant in MUTANTS if not mutant.equivalent]
    killed = [mutant for mutant in effective if not mutant.lives]

    assert len(effective) >= 150
    assert len(killed) >= 0.95 * len(effective)


def _function(mutant: Mutant) -> str:
    """Return the function that a mutant in a migration is in; "" for none."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    at = -1
    for _ in range(mutant.which or 1):
        at = text.index(mutant.find, at + 1)
    found = (each[1] for each in _FUNCTION.finditer(text) if each.start() <= at < each.end())
    return next(found, "")


def _is_there(mutant: Mutant) -> bool:
    path = ROOT / mutant.test_file
    name = mutant.test.partition("::")[2].partition("[")[0]
    if not name:
        return path.exists()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)
