"""The virtual clock: retries, jobs for later and recurring tasks, without waiting."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobsd import Error, retry
from jobsd.testing import PlannedInstant, assert_enqueued, clock, perform_enqueued

from .shop import brief, call, flaky, inside, latest, once, ran, rare, soon, welcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobsd.testing import VirtualClock

SATURDAY = datetime(2030, 1, 5, 12, tzinfo=UTC)
RECURRING = """
default:
  backup:
    class: kit.welcome
    args: [7]
    schedule: at 2am every sunday
  tick:
    class: kit.once
    args: [1]
    schedule: every hour
    run_at_start: true
  dormant:
    class: kit.rare
    schedule: every minute
    enabled: false
"""


@pytest.fixture
def saturday(tmp_path: Path) -> Iterator[VirtualClock]:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/recurring.yml").write_text(RECURRING)
    (tmp_path / "config/queue.yml").write_text("default: {time_zone: Europe/Paris}\n")
    with clock(SATURDAY, project=tmp_path) as virtual:
        yield virtual


@pytest.fixture
def plain() -> Iterator[VirtualClock]:
    with clock(SATURDAY) as virtual:
        virtual.tasks.use()
        yield virtual


def test_a_job_for_later_is_performed_when_its_time_has_come(plain: VirtualClock) -> None:
    welcome.using(wait="1h").enqueue(1)

    assert plain.advance("59m 59s") == []
    (job,) = plain.advance("1s")

    assert (job.state, job.ended_at) == ("finished", SATURDAY + timedelta(hours=1))


def test_retries_wait_for_their_backoff(plain: VirtualClock) -> None:
    flaky.enqueue("value", "retry")

    assert [job.state for job in perform_enqueued()] == ["scheduled"]
    plain.advance("1m")
    assert_enqueued(flaky, at=SATURDAY + timedelta(minutes=1, hours=1))
    plain.advance("1h")

    (job,) = plain.jobs
    assert (ran, job.state, job.attempts) == ([1, 2, 3], "finished", 3)


def test_jobs_are_performed_in_the_order_of_time(plain: VirtualClock) -> None:
    for minutes in (3, 1, 2):
        welcome.using(wait=timedelta(minutes=minutes)).enqueue(minutes)
    inside.append(lambda: welcome.using(wait="90s").enqueue(0))
    call.enqueue()

    plain.advance("1h")

    assert ran == ["call", (1, "en"), (0, "en"), (2, "en"), (3, "en")]


def test_a_failure_is_raised_once_the_time_has_passed(plain: VirtualClock) -> None:
    flaky.enqueue("value", "value", "value")
    welcome.using(wait="30m").enqueue(1)

    with pytest.raises(ValueError, match="no value"):
        plain.advance("1h")

    assert ran == [1, 2, 3, (1, "en")]
    assert plain.now == SATURDAY + timedelta(hours=1)


def test_unique_keys_count_for_their_time(plain: VirtualClock) -> None:
    from jobsd import DuplicateError

    rare.enqueue()
    plain.advance("59m")
    with pytest.raises(DuplicateError):
        rare.enqueue()
    plain.advance("1m")

    assert rare.enqueue().state == "ready"


def test_a_debounced_job_is_put_off_for_a_while_only(plain: VirtualClock) -> None:
    for text in "abcd":
        latest.using(wait="2m").enqueue(1, text)
        plain.advance("90s")

    assert ran == [(1, "d")]
    assert plain.now - SATURDAY == timedelta(minutes=6)


def test_a_job_not_begun_in_time_is_discarded(plain: VirtualClock) -> None:
    soon.enqueue()
    soon.using(wait="1h").enqueue()
    plain.move_to(SATURDAY + timedelta(minutes=11))
    plain.advance("1h")

    assert ran == ["soon"]
    assert [(job.state, job.reason) for job in plain.jobs] == [
        ("discarded", "expired"),
        ("finished", None),
    ]


def test_a_retry_that_comes_too_late_is_discarded(plain: VirtualClock) -> None:
    soon.enqueue(fails=True)

    plain.advance("1h")

    (job,) = plain.jobs
    assert (job.state, job.attempts) == ("discarded", 2)
    assert job.ended_at == SATURDAY + timedelta(minutes=10)


def test_a_failed_job_that_is_retried_has_all_its_time_again(plain: VirtualClock) -> None:
    brief.enqueue()
    plain.advance("1m", raises=False)
    (job,) = plain.jobs
    failed = job.state
    plain.advance("1h")

    retry(job.id)
    plain.advance("1m")

    assert (failed, job.state) == ("failed", "finished")


def test_a_day_of_the_shipped_tasks_runs_at_once(jobs_clock: VirtualClock) -> None:
    performed = Counter(job.class_name for job in jobs_clock.advance("1d"))

    assert performed["HeartbeatJob"] in {288, 289}
    assert performed["RecurringCommandJob"] == 24
    assert len(jobs_clock.jobs.acts.heartbeats) == performed["HeartbeatJob"]


def test_finished_jobs_are_cleared_by_the_recurring_task(jobs_clock: VirtualClock) -> None:
    jobs_clock.advance("3d")

    oldest = min(job.ended_at or jobs_clock.now for job in jobs_clock.jobs)
    assert timedelta(days=1) <= jobs_clock.now - oldest <= timedelta(days=1, hours=1)


def test_recurring_tasks_run_at_their_instants(saturday: VirtualClock) -> None:
    saturday.advance("1d")

    assert Counter(ran) == {(1, ""): 25, (7, "en"): 1}
    backup = assert_enqueued(welcome, args=[7])
    assert backup.enqueued_at == datetime(2030, 1, 6, 1, tzinfo=UTC), "2 am in Paris"


def test_missed_runs_follow_on_missed_of_the_task(saturday: VirtualClock) -> None:
    saturday.move_to(SATURDAY + timedelta(hours=5, minutes=30))
    saturday.advance("1h")

    assert ran == [(1, ""), (1, "")], "at the start, and at six"


def test_a_clock_lists_the_runs_of_a_day(saturday: VirtualClock) -> None:
    sunday = saturday.runs_on("sunday")

    assert sunday == saturday.runs_on(date(2030, 1, 6))
    assert Counter(run.key for run in sunday) == {"tick": 24, "backup": 1}
    assert PlannedInstant(datetime(2030, 1, 6, 1, tzinfo=UTC), "backup") in sunday
    assert "backup" not in {run.key for run in saturday.runs_on("monday")}
    assert ran == []


def test_impossible_times_of_a_clock_are_refused(plain: VirtualClock) -> None:
    with pytest.raises(Error, match="advance: 'soon' is not a duration"):
        plain.advance("soon")
    with pytest.raises(Error, match=r"advance_to: it is 2030-01-05T12:00:00\+00:00 already"):
        plain.advance_to(SATURDAY - timedelta(seconds=1))
    with pytest.raises(Error, match="move_to: it is"):
        plain.move_to(SATURDAY - timedelta(seconds=1))
    with pytest.raises(Error, match="runs_on: 'someday' is not one of monday"):
        plain.runs_on("someday")
    with pytest.raises(Error, match=r"advance: 400000000000.0 after .* is no date"):
        plain.advance(4e11)
    with pytest.raises(Error, match="move_to: 'today' is not a datetime"):
        plain.move_to("today")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Error, match="no time zone"):
        plain.advance_to(datetime(2031, 1, 1))  # noqa: DTZ001


def test_others_may_follow_the_clock(plain: VirtualClock) -> None:
    seen: list[datetime] = []
    plain.on_move = seen.append
    once.using(wait="1m").enqueue(1)

    plain.advance("2m")

    assert seen == [SATURDAY + timedelta(minutes=1), SATURDAY + timedelta(minutes=2)]
