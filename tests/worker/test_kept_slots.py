"""A worker that has one key alone keeps its slot, and claims its next jobs ahead of a turn."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.performing.pool import Pool
from jobsd.states import series
from jobsd.worker import turn
from jobsd.worker.ledger import Ledger
from jobsd.worker.turn import Turns
from waiting import wait_until

from .bodies import noted

if TYPE_CHECKING:
    from jobsd.jobs.claimed_job import ClaimedJob
    from jobsd.performing.perform import Run

    from .conftest import Count, Driven, MakeWorker

_KEYS = series.KEYS_ANY.name
SERIES = 4
"""So many jobs a series has here."""


@job(limits_concurrency=Limit(key=lambda key, _: key))
def one(key: str, number: int) -> None:
    noted.append((key, number))


@job
def plain() -> None:
    noted.append("plain")


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The claims to which limited jobs were added, while each series ends before we collect."""
    added: list[int] = []
    collect, add = Pool.collect, Ledger.add_series

    def collect_late(self: Pool) -> list[Run]:
        series = self.series.values()
        wait_until(lambda: not self.queued and all(each.closed for each in series))
        return collect(self)

    def note(self: Ledger, claim_id: int, *args: Any) -> None:
        added.append(claim_id)
        add(self, claim_id, *args)

    monkeypatch.setattr(Pool, "collect", collect_late)
    monkeypatch.setattr(Ledger, "add_series", note)
    return added


def _enqueue(count: int, key: str = "k") -> None:
    enqueue_many(one.with_args(key, number) for number in range(count))


def _worker(make_worker: MakeWorker, name: str = "worker-1", **options: Any) -> Driven:
    return make_worker(name, prefetch=SERIES, **options)


def test_a_key_that_is_alone_keeps_its_slot_while_it_has_jobs(
    make_worker: MakeWorker, count: Count, claims: list[int]
) -> None:
    _enqueue(10 * SERIES)

    _worker(make_worker).until(lambda: len(noted) == 40 and not count("claims"))

    assert len(claims) == 10
    assert len(set(claims)) == 1
    assert noted == [("k", number) for number in range(40)]


def test_another_worker_finds_none_of_its_jobs_ready_meanwhile(
    make_worker: MakeWorker, count: Count, claims: list[int]
) -> None:
    _enqueue(10 * SERIES)
    driven = _worker(make_worker)
    driven.until(lambda: len(claims) == 2)
    ready: list[int] = []

    while len(claims) < 10:
        ready.append(count("blocked_executions WHERE position IS NOT NULL"))
        driven.worker.poll()

    assert set(ready) == {0}


@pytest.mark.parametrize(("jobs", "behind"), [(3 * SERIES, []), (SERIES, ["hand_over", _KEYS])])
def test_the_turn_behind_the_claim_records_and_frees_the_slot_if_none_was_left(
    jobs: int, behind: list[str], make_worker: MakeWorker, claims: list[int], asked: list[str]
) -> None:
    _enqueue(jobs)
    driven = _worker(make_worker)
    driven.until(lambda: len(claims) == 1)
    asked.clear()

    driven.worker.poll()

    met, claimed, recorded, *more = asked
    assert (met, claimed, more) == (_KEYS, "claim", behind)
    assert recorded.startswith("record")


def test_behind_a_short_series_none_is_claimed_ahead(
    make_worker: MakeWorker, claims: list[int], asked: list[str]
) -> None:
    _enqueue(SERIES - 1)
    driven = _worker(make_worker)
    driven.until(lambda: len(claims) == 1)
    asked.clear()

    driven.worker.poll()

    assert asked[0].startswith("record")


def test_where_the_first_job_is_for_another_worker_the_slot_is_handed_over(
    make_worker: MakeWorker, claims: list[int]
) -> None:
    _enqueue(3 * SERIES)
    ours = _worker(make_worker, queues=("default",))
    ours.until(lambda: len(claims) == 1)
    one.using(queue="mail", priority=-1).enqueue("k", -1)
    ours.until(lambda: not ours.worker.ledger.has_claims)
    assert len(noted) == SERIES

    mail = _worker(make_worker, "worker-2", queues=("mail",))
    mail.until(lambda: ("k", -1) in noted and not mail.worker.ledger.has_claims)
    ours.until(lambda: len(noted) == 3 * SERIES + 1)

    numbers = [*range(4), -1, *range(4, 12)]
    assert noted == [("k", number) for number in numbers]


@pytest.mark.parametrize("others", [1, 2 * SERIES])
def test_of_several_keys_the_slots_are_freed_for_other_workers(
    others: int, make_worker: MakeWorker, claims: list[int]
) -> None:
    _enqueue(others, "l")
    _enqueue(2 * SERIES)

    _worker(make_worker, threads=2).until(lambda: len(claims) >= 3)

    assert len(set(claims[:3])) == 3


def test_a_slot_is_not_kept_while_jobs_without_a_limit_come(
    make_worker: MakeWorker, claims: list[int]
) -> None:
    plain.enqueue()
    _enqueue(3 * SERIES)

    _worker(make_worker).until(lambda: len(claims) == 2)

    assert len(set(claims)) == 2


def test_jobs_without_a_limit_are_claimed_by_the_turn_all_the_same(
    make_worker: MakeWorker, claims: list[int]
) -> None:
    _enqueue(10 * SERIES)
    driven = _worker(make_worker)
    driven.until(lambda: len(claims) == 2)
    plain.enqueue()

    driven.until(lambda: "plain" in noted)

    assert len(claims) <= 4


@pytest.mark.usefixtures("claims")
def test_claimed_and_unrecorded_jobs_together_stay_within_an_entry(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    most = SERIES + 2
    monkeypatch.setattr(turn, "CLAIMED_MAX", most)
    held: list[int] = []
    take = Turns.take

    def note(self: Turns, *args: Any, **more: Any) -> Any:
        held.append(self._ledger.size)
        return take(self, *args, **more)

    monkeypatch.setattr(Turns, "take", note)
    _enqueue(5 * SERIES)

    _worker(make_worker).until(lambda: len(noted) == 5 * SERIES and not count("claims"))

    assert max(held) == most


def test_returned_jobs_are_released_before_more_are_claimed(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, claims: list[int]
) -> None:
    post = Pool.post_together
    back: list[ClaimedJob] = []

    def post_without_the_last(self: Pool, items: list[Any], *how: Any) -> None:
        if not back:
            back.append(items[0].waiting.pop()[0])
        post(self, items, *how)

    monkeypatch.setattr(Pool, "post_together", post_without_the_last)
    _enqueue(3 * SERIES)
    driven = _worker(make_worker)
    driven.until(lambda: len(claims) == 1)
    driven.worker.ledger.give_back(back)

    driven.until(lambda: len(noted) == 3 * SERIES)

    assert noted == [("k", number) for number in range(3 * SERIES)]
