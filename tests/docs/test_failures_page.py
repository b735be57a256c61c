"""The page of failures says what the tests break, and no more."""

from __future__ import annotations

from dataclasses import replace

from docs.failures_page import PAGE, page
from docs.record import shortcomings
from docs.results import ChaosRun, Outcome, Results, read
from marks import TESTS, Marked, marked


def test_every_failure_mark_has_a_cause_and_a_consequence() -> None:
    wrong = [
        (test.id, said)
        for test in marked("failure")
        for said in test.marks["failure"]
        if len(said) != 2 or not all(said) or "|" in "".join(said)
    ]

    assert wrong == []


def test_recorded_results_belong_to_existing_tests() -> None:
    known = {test.id for test in marked("failure")}

    assert {name.partition("[")[0] for name in read().tests} - known == set()


def test_the_page_of_failures_is_made_of_the_marks_and_the_record() -> None:
    made = page(marked("failure"), read())

    path = TESTS.parent / "docs/evidence/failures.md"
    assert path.read_text(encoding="utf-8") == made, "run python tests/docs/failures_page.py"
    assert path == PAGE


def test_a_row_reports_the_last_results_of_its_tests_case_by_case_and_of_chaos() -> None:
    path = TESTS / "outages/test_gone.py"
    test = Marked(path, "test_it_is_waited_for", {"failure": [("it breaks", "it heals.")]})
    old, new = ("abc", "2026-01-01"), ("def", "2026-01-02")
    passed = Outcome(passed=True, long=False, commit=new[0], date=new[1])
    failed = Outcome(passed=False, long=True, commit=old[0], date=old[1])
    results = Results(
        {
            f"{test.id}[4]": passed,
            f"{test.id}[300]": failed,
            "tests/other.py::test_it_is_waited_for": failed,
        },
        [ChaosRun(7, 5.0, 400, 1000, 2000, 300, "lost: 1", *old)],
    )

    reported = page([test], results)

    link = "[it is waited for](../../tests/outages/test_gone.py)"
    assert (
        f"| It breaks | It heals | {link} (**failed** long, abc 2026-01-01; def 2026-01-02) |"
        in reported
    )
    assert "| 7 | 5 | 400 | 1,000 | 2,000 | 300 | lost: 1 | abc 2026-01-01 |" in reported


def test_failed_and_missing_results_are_reported_and_removed_tests_forgotten() -> None:
    good = Outcome(passed=True, long=False, commit="abc", date="2026-01-01")
    bad = replace(good, passed=False)
    results = Results(
        {"gone": bad, "runs[1]": good, "runs[2]": bad, "well": good},
        [
            ChaosRun(7, 5.0, 1, 1, 1, 1, "", "abc", "2026-01-01"),
            ChaosRun(8, 5.0, 1, 1, 1, 1, "lost: 1", "abc", "2026-01-01"),
        ],
    )

    results.keep(["runs", "well", "skipped"])

    assert set(results.tests) == {"runs[1]", "runs[2]", "well"}
    assert shortcomings(["runs", "well", "skipped"], results) == [
        "no result: skipped",
        "failed: runs[2]",
        "chaos, seed 8: lost: 1",
    ]
