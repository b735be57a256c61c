"""Every behaviour has a test, and the page says which."""

from __future__ import annotations

from behaviours.page import PAGE, behaviours, numbers, page, proofs

DECISIONS = {"as", "stricter", "different"}


def test_the_behaviours_are_numbered_from_1_to_91_and_decided_on() -> None:
    table = behaviours()

    assert [row.number for row in table] == list(range(1, 92))
    assert {row.decision.partition(":")[0] for row in table} == DECISIONS


def test_every_behaviour_has_a_test_and_every_mark_a_behaviour() -> None:
    marked = {number for proof in proofs() for number in numbers(proof)}

    known = {row.number for row in behaviours()}
    assert (sorted(known - marked), sorted(marked - known)) == ([], [])


def test_the_page_is_made_of_the_table_and_the_marks() -> None:
    made = page(behaviours(), proofs())

    assert PAGE.read_text(encoding="utf-8") == made, "run python tests/behaviours/page.py"
