"""By when a job has to have ended: said by its process, judged by others."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest

from jobsd.clock import monotonic, monotonic_ns
from jobsd.jobs.interrupts import Interruptible, Shield
from jobsd.jobs.policy import Ending
from jobsd.scoreboard.hard_limits import Overdue
from jobsd.scoreboard.running_jobs import RunningJobs
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.states.claims import InClaim

JOB = InClaim(7, 70)
RETRY = ("retried", 3.0)
LATER_NS = 3_600 * 10**9


@pytest.fixture
def seat() -> tuple[Scoreboard, Interruptible]:
    scoreboard = Scoreboard()
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-1")
    entry.started(2, *JOB)
    return scoreboard, Interruptible(hard=entry.hard_limit(2))


def test_a_job_is_overdue_once_its_time_is_over(seat: tuple[Scoreboard, Interruptible]) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    limited.due = monotonic() + 60
    limited.limit_hard("case", 60.0, 10.0, RETRY)

    assert entry.overdue() == []
    (late,) = entry.overdue(monotonic_ns() + 71 * 10**9)
    assert late == Overdue(JOB, late.hard_ns, 60.0, 10.0, "retried", 3.0)
    assert entry.next_hard_ns == late.hard_ns


@pytest.mark.parametrize("how", ["ended", "another", "again", "taken"])
def test_a_job_no_longer_running_is_not_overdue(
    how: str, seat: tuple[Scoreboard, Interruptible]
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    limited.limit_forced(JOB, 0.001, RETRY)
    match how:
        case "ended":
            entry.ended_as(Ending(*JOB, "failed", 0.0, "ValueError"))
        case "another":
            entry.started(2, 8, 70)
        case "again":
            entry.started(2, 7, 71)
        case _:
            entry.take("worker", "worker-2")

    assert entry.overdue(monotonic_ns() + LATER_NS) == []


def test_the_outcome_of_a_hard_limit_is_stored_once_for_similar_jobs(
    seat: tuple[Scoreboard, Interruptible],
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    said: list[bool] = []
    for number, case in ((7, "one"), (8, "one"), (9, "other"), (10, "one")):
        entry.started(2, number, 70)
        limited.due = monotonic() - 60
        said.append(not limited.limit_again(case))
        if said[-1]:
            limited.limit_hard(case, 1.0, 10.0, ("retried", float(number)))
        (late,) = entry.overdue()
        assert late.job == InClaim(number, 70)
        limited.unlimit()
        assert entry.overdue() == []

    assert said == [True, False, True, True]


@pytest.mark.failure(
    "A job ends and the next one begins while the supervisor reads that the first is over its"
    " time limit",
    "The next job is not ended in its place",
)
@pytest.mark.parametrize("limited_too", [False, True])
def test_the_next_job_is_not_taken_for_the_one_before(
    limited_too: bool,  # noqa: FBT001 - a case
    seat: tuple[Scoreboard, Interruptible],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    limited.due = monotonic() - 60
    limited.limit_hard("case", 1.0, 10.0, RETRY)
    in_cell = RunningJobs._in_cell

    def read_late(entry: RunningJobs, row: int) -> InClaim:
        limited.unlimit()
        entry.started(2, 8, 70)
        limited.due = monotonic() + 1
        assert not limited_too or limited.limit_again("case")
        return in_cell(entry, row)

    monkeypatch.setattr(RunningJobs, "_in_cell", read_late)

    assert entry.overdue() == []


def test_a_forced_cancel_does_not_apply_to_the_next_job(
    seat: tuple[Scoreboard, Interruptible],
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    limited.due = monotonic() + 60
    limited.limit_hard("case", 60.0, 10.0, RETRY)
    limited.unlimit()
    entry.started(2, 8, 70)
    assert limited.limit_again("case")
    # The thread that cancels was on its way when the job ended.
    limited.limit_forced(JOB, 0.001, ("discarded", 0.0))

    assert entry.overdue(monotonic_ns() + LATER_NS) == []
    limited.unlimit()
    entry.started(2, 9, 70)
    assert not limited.limit_again("case")
    limited.limit_hard("case", 60.0, 10.0, RETRY)
    (late,) = entry.overdue(monotonic_ns() + LATER_NS)
    assert (late.job, late.outcome) == (InClaim(9, 70), "retried")


def test_in_a_shield_no_time_counts_and_behind_it_the_rest_does(
    seat: tuple[Scoreboard, Interruptible], monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    monkeypatch.setattr("jobsd.jobs.interrupts.find_here", lambda: limited)
    limited.limit_forced(JOB, 10.0, RETRY)
    with Shield(), Shield():
        limited.limit_forced(JOB, 10.0, RETRY)

        assert entry.overdue(monotonic_ns() + LATER_NS) == []
    began = monotonic()
    assert began + 9 < entry.next_hard_ns / 1e9 <= began + 10


def test_in_a_shield_of_another_thread_no_time_counts_and_behind_it_the_rest_does(
    seat: tuple[Scoreboard, Interruptible],
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    job = limited.job = object()
    limited.limit_forced(JOB, 10.0, RETRY)
    limited.shield_abroad(job)
    limited.shield()
    limited.unshield()

    assert entry.next_hard_ns == 0
    began = monotonic()
    limited.unshield_abroad(job)
    assert began + 9 < entry.next_hard_ns / 1e9 <= monotonic() + 10


def test_a_shield_that_another_thread_keeps_after_the_job_moves_no_time_of_the_next(
    seat: tuple[Scoreboard, Interruptible],
) -> None:
    (entry, *_), limited = seat[0].entries, seat[1]
    job = limited.job = object()
    limited.due = monotonic() + 60
    limited.limit_hard("case", 60.0, 10.0, RETRY)
    limited.shield_abroad(job)
    limited.unlimit()
    assert limited.limit_again("case")
    limited.job = object()
    moment = entry.next_hard_ns

    limited.due += 5
    limited.unshield_abroad(job)

    assert not limited.is_shielded
    assert entry.next_hard_ns == moment != 0


def test_each_of_a_thousand_jobs_has_a_row_of_its_own() -> None:
    entry = Scoreboard().entries[0]
    entry.started(999, *JOB)
    limit = entry.hard_limit(999)
    limit.say(1.0, 1.0, RETRY)
    limit.move(0.001)

    assert [each.job for each in entry.overdue()] == [JOB]


def test_nothing_is_overdue_without_limits() -> None:
    entry = Scoreboard().entries[0]

    assert (entry.next_hard_ns, entry.overdue()) == (0, [])


def test_a_forced_cancel_can_be_set_from_outside(
    seat: tuple[Scoreboard, Interruptible],
) -> None:
    (entry, *_), _ = seat[0].entries, seat[1]
    entry.force(JOB, 5.0)

    assert entry.forced
    assert entry.overdue() == []
    (late,) = entry.overdue(monotonic_ns() + 6 * 10**9)
    assert (late.job, late.limit_s, late.outcome) == (JOB, 0.0, "discarded")

    entry.clear_limits()
    assert not entry.forced
    assert not entry.next_hard_ns


def test_a_job_that_blocks_its_loop_is_overdue_at_once(
    seat: tuple[Scoreboard, Interruptible],
) -> None:
    (entry, *_), blocking = seat[0].entries, seat[1]
    blocking.limit_now(JOB, 7.0, 1.0, RETRY)

    (late,) = entry.overdue()
    assert (late.limit_s, late.grace_s, late.outcome) == (-7.0, 1.0, "retried")


def test_limits_and_lost_outcomes_do_not_touch_one_another() -> None:
    entry = Scoreboard().entries[0]
    entry.take("worker", "worker-1")
    limit = entry.hard_limit(0)
    limit.say(1.0, 1.0, ("failed", 0.0))
    assert entry.outcomes_lost == 0

    entry.hard_limit(5).say(1.0, 1.0, ("failed", 0.0))
    entry.outcomes_lost = 1
    entry.started(5, 7, 70)
    entry.hard_limit(5).move(1.0)

    assert [each.job for each in entry.overdue()] == [InClaim(7, 70)]


def test_a_limit_of_a_dead_process_strikes_no_job_of_the_next() -> None:
    entry = Scoreboard().entries[0]
    entry.take("worker", "worker-1")
    entry.started(0, 7, 70)
    entry.hard_limit(0).say(1.0, 1.0, ("failed", 0.0))
    entry.hard_limit(0).move(1.0)
    assert entry.overdue()
    entry.record_exit(9, "signal", 0)

    entry.take("worker", "worker-2")
    entry.started(0, 8, 80)
    entry.hard_limit(3).say(1.0, 1.0, ("failed", 0.0))

    assert entry.overdue() == []
    assert entry.next_hard_ns == 0
