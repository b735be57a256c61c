"""One function ends jobs, beside the batches of plain successes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import block, claim, enqueue, in_claims
from harness.all_statements import all_statements
from harness.job_rows import places
from jobsd.jobs import policy
from jobsd.supervisor.recovery.claims import DeadProcess, recover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session

_JOBS = r'"?jobsd"?\.jobs\b'
_ENDS = re.compile(
    rf"DELETE\s+FROM\s+{_JOBS}|UPDATE\s+{_JOBS}.*(?:SET|,)\s*outcome\s*=", re.DOTALL
)
_UNDOES_A_STORE = {"admit", "admit_unique"}
"""They drop jobs that their own transaction has stored."""
_CLEARS_ENDED = {"acts/retention.clear"}


@pytest.fixture(params=[0.0, 1.0])
def chance(request: pytest.FixtureRequest) -> Iterator[float]:
    share: float = request.param
    before = policy.chance_by(lambda: share)
    yield share
    policy.chance_by(before)


def test_the_default_backoff_is_the_same_here_and_in_the_database(
    session: Session, chance: float
) -> None:
    backoff = policy.exponential()

    found = session.connection.execute(
        "SELECT jobsd.backoff_s(attempt, %s) FROM generate_series(1, 30) AS attempt", (chance,)
    ).fetchall()

    wanted = [backoff(attempt) for attempt in range(1, 31)]
    assert [seconds for (seconds,) in found] == pytest.approx(wanted)


def test_one_function_and_the_batches_of_successes_end_jobs(session: Session) -> None:
    sent = {name for name, text in all_statements() if _ENDS.search(text)}
    functions = {name for name, text in _functions(session) if _ENDS.search(text)}

    assert sent - _CLEARS_ENDED == {"states/claims.finish", "states/claims.erase"}
    assert functions - _UNDOES_A_STORE == {"end_jobs"}


@pytest.mark.usefixtures("default_client")
def test_a_slot_beside_a_job_that_goes_back_is_handed_to_the_next_job(session: Session) -> None:
    """Of two slots of a key that one process held, one job goes back and one has crashed."""
    crashed, back, following = (enqueue(key="a", to=2) for _ in range(3))
    block(session, following)
    claim(session, 7, crashed)
    session.connection.execute("UPDATE jobsd.claims SET slot = 2")
    claim(session, 7, back)
    error = {"type": "ProcessExitedError", "message": "killed"}

    recover(session, DeadProcess(7, "gone", error, running=in_claims(session, crashed)))

    assert places(session) == {crashed: "failed", back: "ready", following: "ready"}


@pytest.mark.parametrize("thinned", [False, True])
def test_a_plan_from_empty_tables_finds_the_jobs_that_end_by_their_ids(
    session: Session, *, thinned: bool
) -> None:
    def execute(query: str) -> None:
        session.connection.execute(query.encode())

    def end(number: int) -> None:
        session.connection.execute(
            "SELECT FROM jobsd.end_jobs(%(ids)s, true, NULL, %(ids)s, '{retried}', '{9}')",
            {"ids": [number]},
        )

    def read() -> int:
        ((count,),) = session.connection.execute(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))"
            " FROM pg_stat_xact_user_tables WHERE schemaname = 'jobsd'"
        ).fetchall()
        return int(count)

    jobs = "INSERT INTO jobsd.jobs (id, queue_name, class_name) SELECT i, 'q', 'x' FROM"
    if thinned:
        # The server takes the table for an empty one, whose index costs nothing to walk.
        execute(f"{jobs} generate_series(10001, 15000) AS i")
        execute("DELETE FROM jobsd.jobs WHERE id < 15000")
        execute("VACUUM jobsd.jobs")
    for _ in range(10):
        end(1)
    execute(f"{jobs} generate_series(1, 5000) AS i")
    execute(
        "INSERT INTO jobsd.claims (id, process_id, job_ids)"
        " SELECT i, 1, ARRAY[i] FROM generate_series(1, 5000) AS i"
    )

    with session.connection.transaction():
        # Beside these are what the session has read a moment before.
        before = read()
        end(4000)

        assert 2 <= read() - before < 50


def _functions(session: Session) -> list[tuple[str, str]]:
    return session.connection.execute(
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'jobsd'::regnamespace"
    ).fetchall()
