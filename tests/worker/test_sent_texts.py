"""The texts that a worker sends most are those that docs/reference/claim.sql shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from docs.claim_page import SHOWN
from jobsd.database.connection import Session
from jobsd.enqueueing.client import enqueue_many

from .bodies import note, noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Row
    from jobsd.database.statements import Bound, Statement

    from .conftest import Count, MakeWorker

_SCHEMA = "jobsd"
LONG_S = 0.1
"""A rest of a worker that expects no job."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often each text was sent."""
    texts: Counter[bytes] = Counter()
    fetch, send, together = Session.fetch_bound, Session.send_bound, Session.fetch_together

    def fetch_and_count(self: Session, bound: Bound) -> list[Row]:
        texts[bound.text] += 1
        return fetch(self, bound)

    def send_and_count(self: Session, bound: Bound) -> Callable[[], list[Row]]:
        texts[bound.text] += 1
        return send(self, bound)

    def count_all(
        self: Session, statements: list[tuple[Statement, dict[str, Any]]], **how: Any
    ) -> list[list[tuple[Any, ...]]]:
        texts.update(statement.number(_SCHEMA)[0] for statement, _ in statements)
        return together(self, statements, **how)

    monkeypatch.setattr(Session, "fetch_bound", fetch_and_count)
    monkeypatch.setattr(Session, "send_bound", send_and_count)
    monkeypatch.setattr(Session, "fetch_together", count_all)
    return texts


def test_the_page_of_claims_shows_what_workers_send_most(
    sent: Counter[bytes], make_worker: MakeWorker, count: Count
) -> None:
    driven = make_worker(threads=1)

    def finished() -> int:
        return count("jobs WHERE outcome = 'finished'")

    def rests() -> bool:
        return finished() == len(noted) and driven.asked_rest_s > LONG_S

    for n in range(10):
        driven.until(rests)
        note.enqueue(n)
        driven.until(lambda: finished() > n)  # noqa: B023 - called at once
    enqueue_many(note.with_args(n) for n in range(5000))
    driven.until(lambda: finished() == 5010)

    fused = Counter(
        {
            text: n
            for text, n in sent.items()
            if b"fenced" in text or text.startswith(b"WITH taken")
        }
    )
    shown = {each.statement.number(_SCHEMA)[0]: each.when for each in SHOWN}
    assert {text for text, _ in fused.most_common(3)} == {*shown}, [
        (shown.get(text, text), n) for text, n in fused.most_common(5)
    ]
