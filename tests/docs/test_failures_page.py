"""The page of failures says what the tests break, and no more."""

from __future__ import annotations

from docs.failures_page import PAGE, page
from docs.results import read
from marks import TESTS, marked


def test_every_mark_says_in_two_sentences_what_is_broken_and_what_happens() -> None:
    wrong = [
        (test.id, said)
        for test in marked("failure")
        for said in test.marks["failure"]
        if len(said) != 2 or not all(said) or "|" in "".join(said)
    ]

    assert wrong == []


def test_what_is_on_record_is_of_tests_that_there_are() -> None:
    known = {test.id for test in marked("failure")}

    assert {name.partition("[")[0] for name in read().tests} - known == set()


def test_the_page_of_failures_is_made_of_the_marks_and_the_record() -> None:
    made = page(marked("failure"), read())

    path = TESTS.parent / "docs/failures.md"
    assert path.read_text(encoding="utf-8") == made, "run python tests/docs/failures_page.py"
    assert path == PAGE
