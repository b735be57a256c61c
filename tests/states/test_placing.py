"""One function puts jobs where they belong, and wakes those processes that may take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from enqueueing.placed import enqueue

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

_PLACE = "SELECT jobsd.place_jobs(%s, ARRAY[now() + %s::interval])"


@pytest.mark.usefixtures("default_client")
@pytest.mark.parametrize(
    ("sleeper", "due_in", "woken"),
    [
        ("dispatcher", "1 hour", ["due"]),
        ("worker", "1 hour", []),
        ("worker", None, ["ready mail"]),
        ("dispatcher", None, []),
    ],
)
def test_only_a_sleeper_that_may_take_the_job_is_woken(
    session: Session, target: Target, sleeper: str, due_in: str | None, woken: list[str]
) -> None:
    job_id = enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute("INSERT INTO jobsd.sleepers VALUES (1, %s)", (sleeper,))

    with psycopg.connect(target.url, autocommit=True) as listener:
        listener.execute('LISTEN """jobsd"".wake"; LISTEN """jobsd"".due"')
        session.connection.execute(_PLACE, ([job_id], due_in))
        session.connection.execute("SELECT pg_notify('\"jobsd\".due', 'end')")
        sent: list[str] = []
        for each in listener.notifies(timeout=5):
            if each.payload == "end":
                break
            sent.append(each.payload)

    assert sent == woken
