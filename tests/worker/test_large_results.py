"""Results and errors that are too large, together or alone, for the line to the server."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobsd.database.portions import BYTES_MAX
from jobsd.errors import ResultError
from jobsd.jobs import client, results, waiting
from jobsd.jobs.client import Client
from jobsd.jobs.draft import EnqueuedJob
from slow_way import slowed

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session, Target
    from slow_way import SlowWay

KIB = 1024


@contextlib.contextmanager
def _asking_over(target: Target, rate: float, deadline_s: float) -> Generator[SlowWay]:
    """Let this process wait for jobs over a slow line."""
    with slowed(target, rate) as (way, through):
        client.configure(client=Client(replace(through, deadline_s=deadline_s)))
        try:
            yield way
        finally:
            waiting.end_all()
            client.configure()


def _store(session: Session, sizes: list[int]) -> list[EnqueuedJob]:
    query = (
        "INSERT INTO jobsd.results (job_id, state, result, expires_at)"
        " SELECT turn, 'finished', jsonb_build_array(repeat(md5(turn::text), size / 32)),"
        " now() + interval '1 h'"
        " FROM unnest(%s::int[]) WITH ORDINALITY AS sized (size, turn)"
    )
    session.connection.execute(query, (sizes,))
    return [EnqueuedJob(turn, "ready") for turn in range(1, len(sizes) + 1)]


def _texts(handles: list[EnqueuedJob], within_s: float) -> list[int]:
    with ThreadPoolExecutor(len(handles)) as pool:
        return [*pool.map(lambda each: len(str(each.result(within_s))), handles)]


@pytest.mark.failure(
    "A program waits for results that take longer than a deadline over its line, all together",
    "It reads them some MiB at a time, and fewer after each deadline",
)
def test_results_are_read_in_portions_that_the_line_bears(
    session: Session, target: Target
) -> None:
    handles = _store(session, [256 * KIB] * 20)

    with _asking_over(target, rate=2 * KIB * KIB, deadline_s=1):
        lengths = _texts(handles, 30)

    assert lengths == [256 * KIB] * 20


@pytest.mark.failure(
    "A program waits for results of which one takes longer than a deadline by itself",
    "It is told so, after three deadlines, and has all others",
)
def test_a_result_that_is_too_large_for_the_line_holds_up_no_other(
    session: Session, target: Target
) -> None:
    large, *others = _store(session, [900 * KIB, *[KIB] * 10])

    with _asking_over(target, rate=256 * KIB, deadline_s=0.7), ThreadPoolExecutor(2) as pool:
        result, waited = pool.submit(large.result, 60), pool.submit(large.wait, 60)
        lengths = _texts(others, 60)
        with pytest.raises(ResultError, match="the result of job 1 can't be read: each of 3"):
            result.result()

    assert waited.result() == "finished"
    assert lengths == [KIB] * 10


def test_one_statement_reads_no_more_than_its_portion(session: Session) -> None:
    sizes = [900 * KIB] * 6
    ids = [each.id or 0 for each in _store(session, sizes)]

    first = results.values(session, ids, BYTES_MAX)
    least = results.values(session, ids, 1)

    assert [*first] == ids[:4]
    assert [*least] == ids[:1]
    assert {len(each["result"]) for each in first.values()} == {900 * KIB - 900 * KIB % 32 + 4}
