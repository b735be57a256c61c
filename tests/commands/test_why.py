"""Every reason that keeps a job from running, one by one and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import block, claim, enqueue
from jobsd.acts import inspect, listing, queues
from jobsd.operations.why import why
from jobsd.processes import registry
from jobsd.states import parked

if TYPE_CHECKING:
    from jobsd.database.connection import Session


pytestmark = pytest.mark.usefixtures("default_client")


def _process(session: Session, kind: str, **metadata: object) -> int:
    return registry.register(
        session, kind=kind, name=registry.new_name(kind), supervisor_id=0, metadata=metadata
    )


def _why(session: Session, job_id: int) -> dict[str, dict[str, Any]]:
    reasons = why(session, inspect.find(session, job_id), 60.0)
    return {reason.reason: reason.details for reason in reasons}


def _sentences(session: Session, job_id: int) -> list[str]:
    return [each.sentence for each in why(session, inspect.find(session, job_id), 60.0)]


def test_nothing_keeps_a_job_that_a_worker_will_take(session: Session) -> None:
    _process(session, "worker", queues="ma*,other", threads=1)

    assert _why(session, enqueue()) == {}


def test_no_worker_listens(session: Session) -> None:
    _process(session, "worker", queues="other", threads=1)

    assert _why(session, enqueue()) == {"no_worker": {"queue_name": "mail"}}


def test_a_worker_that_has_ended_does_not_count(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    session.connection.execute(
        'UPDATE jobsd.processes SET metadata = metadata || \'{"started": "1"}\' WHERE id = %s',
        (worker,),
    )

    assert "no_worker" in _why(session, enqueue())


def test_a_worker_that_is_quiet_does_not_count(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1, quiet=True)

    assert "no_worker" in _why(session, enqueue())


def test_a_worker_that_is_silent_does_not_count(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '61 s' WHERE id = %s",
        (worker,),
    )

    assert "no_worker" in _why(session, enqueue())


def test_no_worker_that_takes_from_its_queue_knows_its_class(session: Session) -> None:
    workers = [_process(session, "worker", queues=each, threads=1) for each in ("*", "mail")]
    job_id = enqueue()
    parked.publish(session, workers[0], ["*"], ["another"])
    unsaid = _why(session, job_id)
    parked.publish(session, workers[1], ["mail"], [])
    unmet = _why(session, job_id)
    name = inspect.find(session, job_id).job.class_name
    parked.note(session, ["*"], [("mail", parked.lane_of(name))])
    met = _why(session, job_id)
    parked.publish(session, workers[1], ["mail"], [parked.lane_of(name)])

    facts = {"class_name": name, "queue_name": "mail", "since": None}
    assert (unsaid, unmet) == ({}, {"unknown_class": facts})
    assert met["unknown_class"]["since"] is not None
    assert _why(session, job_id) == {}


def test_its_queue_is_paused(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    queues.pause("mail", "moving", by="me@here", session=session)

    reasons = _why(session, enqueue())

    assert list(reasons) == ["paused"]
    assert (reasons["paused"]["by"], reasons["paused"]["because"]) == ("me@here", "moving")


def test_a_pause_gives_its_reason(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    queues.pause("mail", "no server", by="me@here", session=session)

    (sentence,) = _sentences(session, enqueue())

    assert sentence.endswith(" by me@here: no server")


def test_others_come_before_it(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    enqueue()
    enqueue(priority=-1)
    job_id = enqueue()
    enqueue()
    enqueue(priority=1)
    enqueue("other")

    assert _why(session, job_id) == {"behind": {"queue_name": "mail", "jobs": 2}}


def test_very_many_before_it_are_not_counted_to_the_end(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.acts.inspect.AHEAD_MAX", 2)
    _process(session, "worker", queues="*", threads=1)
    job_id = [enqueue() for _ in range(5)][-1]

    assert _why(session, job_id)["behind"] == {
        "queue_name": "mail",
        "jobs": 2,
        "at_least": True,
    }
    assert "2+ jobs of queue 'mail' come before it" in _sentences(session, job_id)


def test_all_threads_have_jobs(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=2)
    claim(session, worker, enqueue(), enqueue())

    assert _why(session, enqueue()) == {"busy": {"workers": 1, "threads": 2, "claimed": 2}}


def test_a_scheduled_job_waits_for_its_time(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    _process(session, "dispatcher")

    reasons = _why(session, enqueue(wait="1h"))

    assert list(reasons) == ["scheduled"]


def test_all_reasons_that_hold_are_reported(session: Session) -> None:
    queues.pause("mail", session=session)

    assert list(_why(session, enqueue(wait="1h"))) == [
        "scheduled",
        "no_dispatcher",
        "paused",
        "no_worker",
    ]


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_blocked_job_names_the_holders_of_its_key_and_counts_jobs_before_it(
    session: Session, *, is_blocked: bool
) -> None:
    worker = _process(session, "worker", queues="*", threads=2)
    holder = enqueue(key="a")
    claim(session, worker, holder)
    enqueue(key="a")
    job_id = enqueue(key="a")
    enqueue(key="a", priority=-1)
    enqueue(key="a", priority=1)
    if is_blocked:
        block(session, job_id)

    reasons = _why(session, job_id)

    assert reasons["blocked"] == {"key": "k/a", "limit": 1, "held_by": [holder], "ahead": 2}
    sentence = _sentences(session, job_id)[0]
    assert f"held by {holder} (claimed); 2 jobs" in sentence


def test_a_slot_reserved_for_the_first_job_is_not_reported_free(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=2)
    holder, first, job_id = enqueue(key="a"), enqueue(key="a"), enqueue(key="a", to=3)
    claim(session, worker, holder)
    block(session, first, job_id)

    assert _why(session, job_id) == {
        "blocked": {"key": "k/a", "limit": 3, "held_by": [holder], "ahead": 1}
    }
    [sentence] = _sentences(session, job_id)
    assert "1 job before it in line; the first of them lets 1 run at once" in sentence


def test_a_slot_that_is_free_was_not_claimed_yet(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    job_id = enqueue(key="a")
    block(session, job_id)

    assert _why(session, job_id) == {
        "blocked": {"key": "k/a", "limit": 1, "held_by": [], "ahead": 0},
        "not_claimed": {"key": "k/a", "free": 1},
    }


def test_a_ready_job_that_comes_first_of_its_key_waits_for_nothing(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)

    assert _why(session, enqueue(key="a")) == {}


def test_many_holders_are_not_all_named(session: Session) -> None:
    job_id = enqueue(key="a", to=12)
    for number in range(12):
        session.connection.execute(
            "INSERT INTO jobsd.claims (process_id, concurrency_key, slot, job_ids)"
            " VALUES (1, 'k/a', %s, ARRAY[-%s::bigint])",
            (number, number),
        )

    sentence = _sentences(session, job_id)[0]

    assert sentence.endswith("(claimed), and 2 more")


def test_a_blocked_job_of_a_paused_queue_waits_for_both(session: Session) -> None:
    first, job_id = enqueue(key="a"), enqueue(key="a")
    claim(session, 1, first)
    block(session, job_id)
    queues.pause("mail", session=session)

    assert list(_why(session, job_id)) == ["blocked", "paused", "no_worker"]


def test_a_scheduled_job_shows_the_limit_that_it_would_meet(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    _process(session, "dispatcher")
    job_id = enqueue(key="a", wait="1h")
    assert list(_why(session, job_id)) == ["scheduled"]
    holder = enqueue(key="a")
    claim(session, 1, holder)

    reasons = _why(session, job_id)

    assert list(reasons) == ["scheduled", "limit_reached"]
    assert reasons["limit_reached"] == {"key": "k/a", "limit": 1, "held_by": [holder]}


def test_a_job_that_was_due_was_not_dispatched_yet(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)
    job_id = enqueue(wait="1h")
    session.connection.execute(
        "UPDATE jobsd.scheduled_executions SET scheduled_at = now() - interval '1 s'"
    )

    assert list(_why(session, job_id)) == ["not_dispatched", "no_dispatcher"]
    _process(session, "dispatcher")
    assert list(_why(session, job_id)) == ["not_dispatched"]


def test_other_queues_come_first_when_all_workers_prefer_them(session: Session) -> None:
    for _ in range(2):
        enqueue("urgent")
    enqueue("off")
    queues.pause("off", session=session)
    enqueue("later")
    job_id = enqueue()
    _process(session, "worker", queues="urgent,off,mail,later", threads=1)

    assert _why(session, job_id) == {"behind_others": {"jobs": 2}}

    _process(session, "worker", queues="u*,later,m*", threads=1)
    assert _why(session, job_id) == {"behind_others": {"jobs": 2}}
    _process(session, "worker", queues="mail,urgent", threads=1)
    assert _why(session, job_id) == {}


def test_more_urgent_jobs_of_all_queues_come_first_for_a_worker_of_all(
    session: Session,
) -> None:
    _process(session, "worker", queues="*", threads=1)
    enqueue("other", priority=-1)
    enqueue("other")
    job_id = enqueue()
    enqueue("other")

    assert _why(session, job_id) == {"behind_others": {"jobs": 2}}


def test_a_ready_job_may_have_every_reason_of_its_state(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    claim(session, worker, enqueue())
    enqueue()
    enqueue("other")
    job_id = enqueue()
    queues.pause("mail", session=session)

    assert list(_why(session, job_id)) == ["paused", "behind", "behind_others", "busy"]
    session.connection.execute("DELETE FROM jobsd.processes")
    assert list(_why(session, job_id)) == ["paused", "no_worker", "behind"]


def test_a_class_that_no_worker_may_know_is_no_reason(session: Session) -> None:
    _process(session, "worker", queues="*", threads=1)

    assert _why(session, enqueue(name="nobody.knows.it")) == {}


def test_a_claimed_job_runs_as_long_as_its_process_lives(session: Session) -> None:
    worker = _process(session, "worker", queues="*", threads=1)
    job_id = enqueue()
    claim(session, worker, job_id)

    assert _why(session, job_id) == {}

    session.connection.execute("DELETE FROM jobsd.processes")
    assert list(_why(session, job_id)) == ["process_lost"]


def test_a_job_that_no_table_has_is_reported_so(session: Session) -> None:
    job_id = enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")

    assert list(_why(session, job_id)) == ["lost"]
    assert listing.listed(session, listing.Filter()).jobs[0].state == "lost"


@pytest.mark.parametrize("outcome", ["finished", "discarded"])
def test_a_job_that_has_ended_has_no_reason(session: Session, outcome: str) -> None:
    job_id = enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute(
        "UPDATE jobsd.jobs SET outcome = %s, finished_at = now()", (outcome,)
    )

    assert _why(session, job_id) == {}
