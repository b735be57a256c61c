"""A claim asks for the names of queues seldom, and passes over no crowd of paused jobs."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from jobsd.acts.queues import pause
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.claimed_job import claimed_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.selection import Selection
from jobsd.states import ready
from jobsd.worker.claiming import limited
from jobsd.worker.claiming import selector as selectors
from jobsd.worker.claiming.cursor import ClaimCursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker

_ran: list[object] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    _ran.clear()


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[ready.Survey]:
    """Every survey that is made."""
    made: list[ready.Survey] = []
    survey = ready.survey

    def note(session: Session, prefixes: Sequence[str]) -> ready.Survey:
        made.append(survey(session, prefixes))
        return made[-1]

    monkeypatch.setattr(ready, "survey", note)
    return made


@job
def note_choice(value: object) -> None:
    _ran.append(value)


@job(limits_concurrency=Limit(to=1, key="one"))
def note_limited(value: object) -> None:
    _ran.append(value)


def test_many_claims_from_a_prefix_share_a_survey(
    make_worker: MakeWorker, surveys: list[ready.Survey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "AWAKE_S", 60)
    enqueue_many(note_choice.using(queue="mail_a").with_args(i) for i in range(3000))
    driven = make_worker(queues=("mail*",))

    driven.until(lambda: len(_ran) == 3000)

    assert len(surveys) <= 2


def test_of_many_queues_a_claim_reads_the_first_ones_and_others_once_these_are_empty(
    make_worker: MakeWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "BREADTH", 4)
    monkeypatch.setattr(selectors, "AWAKE_S", 60)
    names = [f"mail_{number:03}" for number in range(60)]
    for name in reversed(names):
        enqueue_many(note_choice.using(queue=name).with_args(name) for _ in range(2))
    selector = selectors.QueueSelector(Selection(("mail*",)), session)
    reached: list[int] = []
    more = True
    for _ in range(4):
        _, places = selector.search(ClaimCursor(), registered=False)
        assert places["names"] == names[: len(places["names"])]
        reached.append(len(places["names"]))
        more = selector.widen()
    assert (reached, more) == ([4, 16, 60, 60], False)

    driven = make_worker(queues=("mail*",), threads=1)
    driven.until(lambda: len(_ran) == 120)

    assert _ran == sorted(names * 2)


class Long:
    """A worker's long list of queues, of which each claim searches four."""

    names: ClassVar = [f"mail_{number:03}" for number in range(9)]

    def __init__(self, session: Session, patterns: tuple[str, ...]) -> None:
        enqueue_many(note_choice.using(queue=name).with_args(name) for name in self.names)
        self.selector = selectors.QueueSelector(Selection(patterns), session)

    def searched(self) -> list[str]:
        """Return the queues that a claim searches now."""
        _, places = self.selector.search(ClaimCursor(), registered=False)
        names: list[str] = places["names"]
        return names

    def pass_to(self, name: str) -> None:
        """Let a full claim have brought a job of this queue as its last."""
        job = claimed_job((1, 2, "note", "[]", name, 0, 1, 0.0, None, 0, 2, None, None, None))
        self.selector.pass_to(job)


@pytest.fixture
def long(
    session: Session, default_client: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Long]:
    assert default_client is not None
    monkeypatch.setattr(selectors, "BREADTH", 4)
    monkeypatch.setattr(selectors, "AWAKE_S", 60)
    return lambda *patterns: Long(session, patterns)


def test_of_many_queues_those_before_the_last_job_of_a_full_claim_are_searched_no_more(
    long: Callable[..., Long],
) -> None:
    queues = long("mail*")
    assert queues.searched() == queues.names[:4]

    queues.pass_to("mail_002")
    assert queues.searched() == queues.names[2:6]
    queues.pass_to("mail_005")
    assert queues.searched() == queues.names[5:9]

    assert queues.selector.widen()
    assert queues.searched() == queues.names[:4]


def test_queues_that_were_passed_are_searched_again_when_there_may_be_jobs(
    long: Callable[..., Long],
) -> None:
    def survey(queues: Long) -> None:
        queues.selector.request_survey()

    def hear(queues: Long) -> None:
        queues.selector.add("mail_000")

    def sweep(queues: Long) -> None:
        queues.selector.begin_anew()

    for happens in (survey, hear, sweep):
        queues = long("mail*")
        queues.searched()
        queues.pass_to("mail_003")
        assert queues.searched() == queues.names[3:7]

        happens(queues)

        assert queues.searched() == queues.names[:4]


def test_a_sweep_searches_queues_that_were_passed(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "AWAKE_S", 60)
    driven = make_worker(queues=("mail*",))
    note_choice.using(queue="mail_0").enqueue(0)
    driven.until(lambda: _ran == [0])
    claiming = driven.worker.claiming
    claiming.selector._begin, claiming.selector._survey_due = 1, False

    claiming.cursor.request_sweep()
    claiming.cursor.sweep_allowed_at = 0.0
    process_id = driven.worker.process_id
    request = claiming.request(claiming.room(), 0.0, process_id, alone=True)

    assert request.sweep
    assert claiming.selector._begin == 0


def test_a_queue_that_a_worker_has_by_its_name_is_searched_by_each_claim(
    long: Callable[..., Long],
) -> None:
    queues = long("mail_001", "mail*")
    queues.searched()

    queues.pass_to("mail_003")
    assert queues.searched() == ["mail_001", *queues.names[3:7]]
    queues.pass_to("mail_001")
    assert queues.searched() == ["mail_001", *queues.names[3:7]]

    names = [f"other_{number}" for number in range(9)]
    named = long(*names)
    assert named.searched() == names[:4]
    named.pass_to("other_3")
    assert named.searched() == names[:4]


def test_limited_jobs_of_a_further_queue_do_not_come_before_others(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "BREADTH", 2)
    cut: list[bool] = []
    claim = limited.Limited.claim

    def note(self: limited.Limited, *args: Any, **kwargs: Any) -> int:
        cut.append(self._selector.is_cut)
        return claim(self, *args, **kwargs)

    monkeypatch.setattr(limited.Limited, "claim", note)
    note_limited.using(queue="mail_9").enqueue("limited")
    for number in range(8):
        note_choice.using(queue=f"mail_{number}").enqueue(number)

    driven = make_worker(queues=("mail*",), threads=1, prefetch=20)
    driven.until(lambda: len(_ran) == 9)

    assert cut
    assert not any(cut)
    assert _ran == [*range(8), "limited"]


def test_queues_of_others_hide_none_of_ours(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "NAMES_MAX", 3)
    enqueue_many(note_choice.using(queue=f"a{i}").with_args(i) for i in range(9))
    driven = make_worker(queues=("mail*",))

    note_choice.using(queue="mail_a").enqueue("ours")

    driven.until(lambda: _ran == ["ours"])


@pytest.mark.parametrize("queues", [("*",), ("a*",)])
def test_paused_queues_hide_none_that_is_not(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, queues: tuple[str, ...]
) -> None:
    monkeypatch.setattr(ready, "NAMES_MAX", 3)
    monkeypatch.setattr(ready, "PAUSED_MANY", 1)
    for i in range(9):
        note_choice.using(queue=f"a{i}").enqueue(i)
        pause(f"a{i}")
    driven = make_worker(queues=queues)
    driven.worker.claiming.selector.note_cost(1.0)

    note_choice.using(queue="az").enqueue("ours")

    driven.until(lambda: _ran == ["ours"])


def test_more_queues_than_are_named_are_all_served(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "NAMES_MAX", 3)
    enqueue_many(note_choice.using(queue=f"a{i}").with_args(i) for i in range(20))
    driven = make_worker(queues=("a*",))

    driven.until(lambda: sorted(map(str, _ran)) == sorted(map(str, range(20))))


def test_a_new_queue_is_found_without_a_survey_when_a_notification_comes(
    make_worker: MakeWorker, surveys: list[ready.Survey], count: Count
) -> None:
    driven = make_worker(queues=("mail*",))
    claiming = driven.worker.claiming
    driven.until(lambda: count("sleepers") and claiming.polling.next_poll)
    # The one that comes with the registration is behind us.
    claiming.polling.poll_now()
    driven.until(lambda: not claiming.selector._survey_due)
    found = len(surveys)

    note_choice.using(queue="mail_new").enqueue(1)
    driven.until(lambda: _ran)

    assert len(surveys) == found


def test_a_new_queue_is_found_by_a_worker_that_is_never_idle(make_worker: MakeWorker) -> None:
    driven = make_worker(queues=("mail_*",))

    def feed() -> bool:
        if driven.worker.pool.waiting < 300:
            enqueue_many(note_choice.using(queue="mail_b").with_args(0) for _ in range(2000))
        return len(_ran) > 4000

    # 4 to 8 s on a machine at load 20, and nothing waits for a lock meanwhile.
    driven.until(feed, within_s=60)
    enqueue_many([note_choice.using(queue="mail_a").with_args("new")])
    driven.until(lambda: feed() and "new" in _ran, within_s=60)


def test_slow_claims_list_no_queues_while_none_is_paused(
    make_worker: MakeWorker, surveys: list[ready.Survey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "HORIZON_S", 0)
    enqueue_many(note_choice.with_args(i) for i in range(50))
    driven = make_worker()

    driven.until(lambda: len(_ran) == 50)

    assert surveys == []


@pytest.fixture
def crowd(session: Session, monkeypatch: pytest.MonkeyPatch) -> int:
    """Ready jobs of a paused queue, which each claim from all would pass over."""
    monkeypatch.setattr(selectors, "HORIZON_S", 0)
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT i, i, -5, 'off'"
        " FROM generate_series(1000001, 1100000) AS i"
    )
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('off')")
    return 100_000


def test_beside_a_crowd_of_paused_jobs_the_most_urgent_of_all_queues_run_first(
    crowd: int, make_worker: MakeWorker, count: Count
) -> None:
    # Nothing is claimed ahead: on a busy machine it would go back, and wait for a dear sweep.
    driven = make_worker(threads=1, prefetch=0)
    driven.until(lambda: driven.worker.claiming.selector._each)
    places = (("b", 1), ("a", 3), ("c", 2), ("b", -9), ("a", 1))
    enqueue_many(
        note_choice.using(queue=name, priority=priority).with_args(f"{name} {priority}")
        for name, priority in places
    )

    driven.until(lambda: len(_ran) == 5)

    assert (_ran, count("ready_executions")) == (["b -9", "b 1", "a 1", "c 2", "a 3"], crowd)


@pytest.mark.usefixtures("crowd")
def test_claims_beside_a_crowd_of_paused_jobs_come_in_order_and_read_few_pages(
    session: Session,
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions"
        " SELECT i, i, i % 3, 'q' || i % 5 FROM generate_series(1, 10000) AS i"
    )
    session.connection.execute("ANALYZE jobsd.ready_executions")
    picked = ready.STATEMENTS["pick_each"].render("jobsd").decode()
    names = "{off,q0,q1,q2,q3,q4}"
    parameters = {
        "names": names,
        "after_priorities": "{" + ",".join(["-2147483648"] * 6) + "}",
        "after_positions": "{" + ",".join(["0"] * 6) + "}",
        "below_priorities": "{" + ",".join(["2147483648"] * 6) + "}",
        "below_positions": "{" + ",".join(["0"] * 6) + "}",
        "limit": 500,
    }
    query = f"WITH {picked} SELECT priority, position FROM picked"

    rows = session.connection.execute(query.encode(), parameters).fetchall()
    explained = session.connection.execute(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode(), parameters, prepare=False
    ).fetchone()

    assert rows == [(0, 3 * turn) for turn in range(1, 501)]
    assert explained is not None
    assert explained[0][0]["Plan"]["Shared Hit Blocks"] < 3000


@pytest.mark.usefixtures("crowd")
def test_when_the_crowd_is_gone_claims_are_from_all_again(
    make_worker: MakeWorker, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "CHECK_S", 0)
    driven = make_worker()
    driven.until(lambda: driven.worker.claiming.selector._each)

    session.connection.execute("DELETE FROM jobsd.ready_executions")
    note_choice.enqueue("later")
    driven.until(lambda: _ran)

    driven.until(lambda: not driven.worker.claiming.selector._each)
