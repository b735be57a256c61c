"""The texts of the statement that records and claims are few: each is prepared and planned."""

from __future__ import annotations

from jobsd.database.statements import Statement
from jobsd.states import claims, ready
from jobsd.states.claims import record_statement

TEXTS_MAX = 16


def test_the_statement_that_records_and_claims_has_few_texts() -> None:
    records = {record_statement(keep=keep) for keep in (True, False)}
    picks: set[Statement] = {
        value
        for name, value in vars(ready).items()
        if name.startswith("CLAIM_") and isinstance(value, Statement)
    }

    texts = {ready.turn(None, pick).text for pick in picks}
    beside = picks - {*ready.OF_FEW}
    texts |= {ready.turn(record, pick).text for record in records for pick in beside}
    texts |= {ready.turn(record, claims.STATEMENTS["no_claim"]).text for record in records}

    assert len(picks) >= 4
    assert len(texts) == TEXTS_MAX
