"""Folding the counts of failures keeps what each of them says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.operations import failures

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

_COUNTED = """
INSERT INTO jobsd.failure_counts (
    group_id, class_name, queue_name, error_type, pattern, jobs, first_failed_at,
    last_failed_at, last_id, message
)
VALUES
    (7, 'app.mail', 'mail', 'ValueError', 'no *', 3, '2030-01-02', '2030-01-03', 30, 'no 3'),
    (7, 'app.mail', 'mail', 'ValueError', 'no *', 2, '2030-01-01', '2030-01-02', 20, 'no 2'),
    (7, 'app.mail', 'mail', 'ValueError', 'no *', -1, NULL, NULL, NULL, NULL)
"""


def test_a_group_has_its_first_failure_and_the_message_of_its_last(
    session: Session, rows: Rows
) -> None:
    rows("TRUNCATE jobsd.failure_counts")
    rows(_COUNTED)

    failures.fold(session)

    assert rows(
        "SELECT jobs, first_failed_at::date::text, last_failed_at::date::text, last_id, message"
        " FROM jobsd.failure_counts"
    ) == [(4, "2030-01-01", "2030-01-03", 30, "no 3")]
