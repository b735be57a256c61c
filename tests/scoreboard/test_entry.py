"""What an entry tells of a process: how it lives, how it died, what it ran."""

from __future__ import annotations

import pytest

from jobsd.jobs.policy import Ending
from jobsd.jobs.time_limits import WAIT_MAX_S
from jobsd.scoreboard import running_jobs
from jobsd.scoreboard.entry import REASONS, ScoreboardEntry
from jobsd.scoreboard.queue_names import ERRORS_MAX, OTHERS
from jobsd.scoreboard.running_jobs import ENDED_MAX
from jobsd.scoreboard.scoreboard import Scoreboard


@pytest.fixture
def entry() -> ScoreboardEntry:
    taken = Scoreboard().entries[0]
    taken.take("worker", "worker-1")
    return taken


def _retried(job_id: int, claim_id: int = 1) -> Ending:
    return Ending(job_id, claim_id, "retried", 2.5, "mail.ServerError")


def test_a_taken_entry_names_its_process(entry: ScoreboardEntry) -> None:
    entry.pid = 4711
    entry.row_id = 12
    entry.set_threads(busy=2, threads=3)

    assert (entry.kind, entry.name, entry.pid, entry.row_id) == ("worker", "worker-1", 4711, 12)
    assert (entry.busy, entry.threads) == (2, 3)


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", "/"),
        ("", "/"),
        ("/api/v1/", "/"),
        ("/jobs", "/jobs"),
        ("/jobs/42/retry", "/jobs/ID"),
        ("/api/v1/jobs/42", "/jobs/ID"),
        ("/recurring/a/b/run", "/recurring/KEY"),
        ("/assets/style.css", "/assets"),
        ("/system/x", "other"),
        ("/../etc/passwd", "other"),
        ("/other", "other"),
        ("//", "/"),
    ],
)
def test_requests_are_counted_by_page_and_status(
    entry: ScoreboardEntry, path: str, page: str
) -> None:
    entry.count_request(path, "404")
    entry.count_request(path, "418")

    counted = {request: count for request, count in entry.requests() if count}
    assert counted == {(page, "404"): 1, (page, "other"): 1}


def test_an_entry_of_another_kind_has_no_requests(entry: ScoreboardEntry) -> None:
    assert list(entry.requests()) == []


def test_a_name_is_cut_to_its_room_and_stays_readable(entry: ScoreboardEntry) -> None:
    entry.take("worker", "ä" * 100)

    assert entry.name == "ä" * 64


def test_nothing_of_the_last_process_is_left_but_its_counters(entry: ScoreboardEntry) -> None:
    entry.row_id = 12
    entry.tick()
    entry.started(0, 1, 5)
    entry.ended_as(_retried(1))
    entry.row_lost = 1
    entry.wants_recycling = 1
    entry.working = entry.leaving = entry.outcomes_lost = 1
    entry.stack, entry.stack_job = "where it stood", 1
    entry.queue("mail").count("failed")
    entry.count_dropped_lines(3)
    entry.record_exit(9, "hung", 100)

    entry.take("dispatcher", "dispatcher-1")

    assert (entry.row_id, entry.status, entry.rss_kib, entry.up_s) == (0, 0, 0, 0.0)
    assert (entry.row_lost, entry.wants_recycling) == (False, False)
    assert (entry.working, entry.leaving, entry.outcomes_lost, entry.stack_job) == (0, 0, 0, 0)
    assert entry.jobs_ended == 0
    assert (entry.running(), entry.succeeded(), entry.in_cells()) == ([], [], {})
    assert entry.endings() == []
    assert entry.dropped_lines == 3
    assert entry.queue("mail").outcome("failed") == 1


@pytest.mark.parametrize("reason", REASONS)
def test_an_exit_is_kept_as_it_was_recorded(entry: ScoreboardEntry, reason: str) -> None:
    entry.record_exit(139, reason, 2048)

    assert (entry.status, entry.reason, entry.rss_kib) == (139, reason, 2048)
    assert 0 <= entry.died_s < 5


def test_a_process_that_never_ticked_was_never_up(entry: ScoreboardEntry) -> None:
    entry.record_exit(9, "signal", 0)

    assert entry.up_s == 0


def test_a_process_is_up_from_its_first_tick_to_its_death(entry: ScoreboardEntry) -> None:
    entry.tick()
    entry.record_exit(9, "signal", 0)
    lived = entry.up_s

    assert entry.up_s == lived
    assert 0 < lived <= entry.age_s


def test_later_ticks_do_not_bring_a_dead_process_back(entry: ScoreboardEntry) -> None:
    entry.record_exit(9, "signal", 0)
    entry.tick()

    assert entry.reason == "signal"
    assert entry.up_s == 0


def test_what_threads_run_is_running(entry: ScoreboardEntry) -> None:
    entry.started(0, 10, 5)
    entry.started(4, 11, 5)

    assert entry.running() == [(10, 5), (11, 5)]
    assert entry.in_cells() == {0: 10, 4: 11}


def test_a_succeeded_job_is_not_running_in_spite_of_its_cell(
    entry: ScoreboardEntry,
) -> None:
    entry.started(0, 10, 5)
    entry.ended(10, 5)

    assert (entry.running(), entry.in_cells(), entry.succeeded()) == ([], {}, [(10, 5)])


@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [("failed", 0.0), ("retried", 3.000001), ("discarded", 0.0), ("snoozed", WAIT_MAX_S)],
)
def test_the_intended_outcome_of_an_unsuccessful_job_is_reported(
    entry: ScoreboardEntry, outcome: str, wait_s: float
) -> None:
    ending = Ending(10, 2**40, outcome, wait_s, "mail.ServerError")
    entry.started(0, 10, 5)
    entry.ended_as(ending)
    entry.rest(0)

    assert (entry.running(), entry.succeeded(), entry.in_cells()) == ([], [], {})
    assert (entry.endings(), entry.jobs_ended) == ([ending], 1)


def test_a_job_that_runs_again_in_the_same_process_runs(entry: ScoreboardEntry) -> None:
    entry.ended_as(_retried(10))
    entry.started(1, 10, 5)

    assert (entry.running(), entry.in_cells()) == ([(10, 5)], {1: 10})


def test_a_job_with_the_id_of_a_succeeded_one_runs(entry: ScoreboardEntry) -> None:
    entry.ended(10, 5)
    entry.started(0, 10, 6)

    assert (entry.running(), entry.succeeded()) == ([(10, 6)], [(10, 5)])


def test_of_a_long_type_the_end_is_reported(entry: ScoreboardEntry) -> None:
    entry.ended_as(Ending(1, 1, "failed", 0.0, f"{'ä' * 100}.OwnError"))

    (ending,) = entry.endings()
    assert ending.error_type.endswith("ää.OwnError")


def test_the_last_jobs_that_ended_are_remembered(entry: ScoreboardEntry) -> None:
    for job in range(1, ENDED_MAX + 11):
        entry.ended(job, 5)

    assert entry.succeeded() == [(job, 5) for job in range(11, ENDED_MAX + 11)]


def test_the_last_endings_are_remembered_and_a_success_takes_the_place_of_one(
    entry: ScoreboardEntry,
) -> None:
    for job in range(1, ENDED_MAX + 11):
        entry.ended_as(_retried(job, claim_id=job))
    entry.ended(5000, 5)

    reported = sorted((ending.job_id, ending.claim_id) for ending in entry.endings())
    assert reported == [(job, job) for job in range(12, ENDED_MAX + 11)]
    assert entry.succeeded() == [(5000, 5)]


def test_entries_do_not_touch_one_another() -> None:
    first, second = Scoreboard().entries[:2]
    second.take("monitor", "monitor-1")
    before = second.words.tolist()

    first.take("worker", "w" * 200)
    for thread in range(256):
        first.started(thread, -1, -1)
    for number in range(100):
        first.queue(f"queue-{number}" * 40).observe(waits_s=[9e9], runs_s=[1e9])

    assert second.words.tolist() == before


def test_failures_are_counted_by_type_across_owners_of_the_entry(
    entry: ScoreboardEntry,
) -> None:
    entry.count_failure("shop.Refused", "retried")
    entry.count_failure("shop.Refused", "failed")
    entry.take("worker", "its successor")
    entry.count_failure("shop.Refused", "retried")

    assert dict(entry.failures()) == {"shop.Refused": {"failed": 1, "retried": 2}}


def test_types_of_errors_beyond_the_room_for_them_are_counted_together(
    entry: ScoreboardEntry,
) -> None:
    for number in range(ERRORS_MAX + 3):
        entry.count_failure(f"shop.Error{number}", "failed")

    found = dict(entry.failures())
    assert len(found) == ERRORS_MAX + 1
    assert found[OTHERS]["failed"] == 3


def test_an_entry_knows_for_how_long_each_of_its_jobs_has_been_running(
    entry: ScoreboardEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100 * 10**9, 10 * 10**9))
    monkeypatch.setattr(running_jobs, "monotonic_ns", lambda: next(clock))
    entry.started(0, 10, 5)
    entry.started(255, 11, 5)
    entry.started(999, 12, 6)
    entry.rest(255)

    assert entry.ages_s() == {10: 30.0, 12: 10.0}


def test_a_job_that_is_the_only_one_has_none_beside_it(entry: ScoreboardEntry) -> None:
    entry.started(0, 7, 70)
    alone = entry.only_job()
    entry.started(900, 8, 80)
    beside = entry.only_job()
    entry.rest(0)

    assert (alone, beside, entry.only_job()) == (7, None, 8)
