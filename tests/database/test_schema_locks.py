"""How long a step waits for its tables, and what it may take once it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.database import schema_locks
from jobsd.database.schema_locks import Patience

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_LIMIT = "SHOW statement_timeout"


def test_a_step_that_has_its_tables_may_take_as_long_as_before(session: Session) -> None:
    connection = session.connection
    before = connection.execute(_LIMIT).fetchone()

    with connection.transaction():
        schema_locks.take(connection, "jobsd", ["jobs"], Patience(print))
        within = connection.execute(_LIMIT).fetchone()

    assert within == before


def test_others_get_longer_pauses_each_time_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("jobsd.database.schema_locks.time.sleep", pauses.append)
    patience = Patience(print)

    for _ in range(5):
        patience.pause()

    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]
