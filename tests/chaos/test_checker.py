"""The checker of a chaos run finds what is wrong: each figure in a story that was doctored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from chaos.askers import Answer, Ask
from chaos.checker import wrong
from chaos.enqueuers import Intent
from chaos.evidence import Evidence, Holding, Recording, Run, StoredJob
from chaos.watch import Asked, Sighting

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "chaos.alone/k1"


def story() -> Evidence:
    """Two jobs of one key: one is tried twice, since a kill took its worker, then the other."""
    return Evidence(
        intents=[
            Intent(1, "alone", "committed"),
            Intent(2, "order", "committed", group=2, ordered=True),
            Intent(3, "order", "absent", group=3, ordered=True),
            Intent(4, "together", "committed", group=4),
            Intent(5, "together", "committed", group=4),
            *(Intent(n, "alone", "committed") for n in (6, 7, 8, 9)),
            Intent(10, "alone", "duplicate"),
        ],
        runs=[
            Run(1, 11, 1, 100, 1.0, KEY),
            Run(1, 11, 2, 101, 3.0, KEY, 3.5, "NoneType"),
            Run(2, 12, 1, 101, 4.0, KEY, 4.5, "ValueError"),
            Run(4, 14, 1, 101, 5.0, "-", 5.5, "NoneType"),
            Run(5, 15, 1, 101, 5.0, "-", 5.5, "Discard"),
            Run(6, 16, 1, 101, 6.0, "chaos.once/k1", 6.2, "NoneType"),
            Run(8, 18, 1, 101, 6.5, "chaos.once/k1", 6.8, "Cancelled"),
            Run(31, 21, 1, 101, 7.0, "-", 7.1, "NoneType"),
            Run(34, 22, 1, 101, 7.2, "chaos.latest/k1", 7.3, "NoneType"),
            Run(35, 23, 1, 101, 7.4, "chaos.latest/k1", 7.5, "NoneType"),
        ],
        jobs=[
            StoredJob(11, 1, 2, 3, "finished", None),
            StoredJob(12, 2, 1, 1, None, "ValueError"),
            StoredJob(14, 4, 1, 1, "finished", None),
            StoredJob(15, 5, 1, 1, "discarded", None),
            StoredJob(16, 6, 1, 1, "finished", None, "chaos.sealed"),
            StoredJob(17, 7, 0, 1, "discarded", None, "chaos.brief", "expired", 7.1),
            StoredJob(18, 8, 1, 1, "discarded", None, "chaos.once", "cancelled", 6.9),
            StoredJob(19, 9, 0, 1, "discarded", None, "chaos.plain", "cancelled", 7.1),
            StoredJob(21, 31, 1, 1, "finished", None, "chaos.replying"),
            StoredJob(22, 34, 0, 1, "erased", None, "chaos.latest"),
            StoredJob(23, 35, 1, 1, "finished", None, "chaos.latest"),
        ],
        holdings=[
            Holding(11, 100, 0.9, 2.0, "monitor-a", recorded=True),
            Holding(11, 101, 2.9, 3.6, "worker-b", recorded=True),
            Holding(12, 101, 3.9, 4.6, "worker-b", recorded=True),
            Holding(14, 101, 4.9, 5.6, "worker-b", recorded=True),
            Holding(15, 101, 4.9, 5.6, "worker-b", recorded=True),
            Holding(16, 101, 5.9, 6.3, "", recorded=True),
            Holding(18, 101, 6.4, 6.9, "worker-b", recorded=True),
            Holding(21, 101, 6.9, 7.1, "worker-b", recorded=True),
            Holding(22, 101, 7.1, 7.3, "worker-b", recorded=True),
            Holding(23, 101, 7.3, 7.5, "worker-b", recorded=True),
        ],
        recordings=[
            Recording(11, 0, 1, None, None),
            Recording(11, 1, 2, None, "finished"),
            Recording(12, 0, 1, None, None),
            Recording(14, 0, 1, None, "finished"),
            Recording(15, 0, 1, None, "discarded"),
            Recording(16, 0, 1, None, "finished"),
            Recording(17, 0, 0, None, "discarded"),
            Recording(18, 0, 1, None, "discarded"),
            Recording(19, 0, 0, None, "discarded"),
            Recording(21, 0, 1, None, "finished"),
            Recording(23, 0, 1, None, "finished"),
        ],
        attempts=[(11, 1), (12, 1), (15, 1), (18, 1)],
        effects=[6],
        deadlines={17: 7.0},
        cancelled={18: "claimed", 19: "ready"},
        answers=[Answer(31, 21, "finished", {"n": 31})],
        results={21: {"n": 31}},
        logs=[(21, "said 31.")],
        asks=[
            Ask("chaos.latest", "k1", 32, "new", 22, 6.0, 6.1),
            Ask("chaos.latest", "k1", 33, "duplicate", 22, 6.2, 6.3),
            Ask("chaos.latest", "k1", 34, "unknown", None, 6.4, 6.5),
            Ask("chaos.latest", "k1", 35, "new", 23, 7.3, 7.35),
            Ask("chaos.rare", "k1", 36, "new", 24, 6.0, 6.1),
            Ask("chaos.rare", "k1", 37, "duplicate", 24, 6.5, 6.6),
            Ask("chaos.rare", "k1", 38, "new", 25, 7.2, 7.3),
        ],
        orders={2},
        sightings={
            100: Sighting("a1", "7", 0.0, 1.9, ended=True),
            101: Sighting("b1", "8", 0.0, 9.0, ended=True),
        },
        trees={"monitor-a": "a1", "monitor-b": "b1"},
    )


def _lose_a_job(reported: Evidence) -> None:
    del reported.jobs[2]
    reported.intents[3] = replace(reported.intents[3], group=0)


def _take_from_everywhere(reported: Evidence) -> None:
    reported.jobs[1] = replace(reported.jobs[1], error=None)


def _keep_what_was_rolled_back(reported: Evidence) -> None:
    reported.jobs.append(StoredJob(13, 3, 0, 1, "discarded", None))
    reported.orders.add(3)


def _lose_an_order(reported: Evidence) -> None:
    reported.orders.clear()


def _store_again(reported: Evidence) -> None:
    reported.jobs.append(StoredJob(16, 2, 0, 1, "discarded", None))


def _finish_again(reported: Evidence) -> None:
    reported.recordings.append(Recording(11, 2, 2, "finished", "finished"))


def _count_an_attempt_twice(reported: Evidence) -> None:
    reported.attempts.append((12, 1))


def _finish_what_did_not_end(reported: Evidence) -> None:
    reported.runs[3].ended = reported.runs[3].result = None


def _erase_what_did_not_end(reported: Evidence) -> None:
    reported.jobs[2] = replace(reported.jobs[2], outcome="erased", attempts=0)
    reported.runs[3].result = "ValueError"


def _run_beyond_the_last_attempt(reported: Evidence) -> None:
    reported.runs[2].attempt = 2
    reported.jobs[1] = replace(reported.jobs[1], attempts=2)
    reported.attempts.append((12, 2))


def _run_without_a_claim(reported: Evidence) -> None:
    reported.runs[3].pid = 100


def _run_twice_for_one_claim(reported: Evidence) -> None:
    reported.runs.append(Run(4, 14, 1, 101, 5.2, "-", 5.3, "NoneType"))


def _run_what_was_taken_away(reported: Evidence) -> None:
    reported.holdings[3].ended = 4.95


def _do_not_count_a_crash(reported: Evidence) -> None:
    reported.holdings[0].recorded = False


def _overlap(reported: Evidence) -> None:
    reported.sightings[100].until = 3.2


def _leave_a_slot(reported: Evidence) -> None:
    reported.slots.append((KEY, 11))


def _leave_a_finished_job_ready(reported: Evidence) -> None:
    reported.waiting = {"ready": [14]}


def _leave_a_job_claimed(reported: Evidence) -> None:
    reported.jobs[1] = replace(reported.jobs[1], error=None)
    reported.waiting = {"claimed": [12]}


def _leave_a_process(reported: Evidence) -> None:
    reported.remains.append("process 101 of b1")


def _err(reported: Evidence) -> None:
    reported.errors.append("Traceback")


def _keep_a_duplicate(reported: Evidence) -> None:
    reported.jobs.append(StoredJob(20, 10, 0, 1, "discarded", None))


def _fail_what_was_cancelled(reported: Evidence) -> None:
    reported.jobs[6] = replace(reported.jobs[6], outcome=None, reason=None, error="Cancelled")


def _finish_what_waited_when_it_was_cancelled(reported: Evidence) -> None:
    reported.cancelled[14] = "ready"


def _cancel_by_nobody(reported: Evidence) -> None:
    del reported.cancelled[18]


def _expire_without_a_time(reported: Evidence) -> None:
    reported.deadlines.clear()


def _expire_long_before(reported: Evidence) -> None:
    reported.deadlines[17] = 60.0


def _limit_what_has_no_limit(reported: Evidence) -> None:
    reported.jobs[1] = replace(
        reported.jobs[1], error="TimeLimitExceeded", class_name="chaos.plain"
    )


def _begin_too_late(reported: Evidence) -> None:
    reported.deadlines[14] = 4.0


def _run_two_of_one_key(reported: Evidence) -> None:
    reported.runs[6].began = 6.1
    reported.holdings[6].made = 6.05


def _see_two_of_one_key(reported: Evidence) -> None:
    reported.seen["two of one key"] = ["chaos.next/k1"]


def _finish_without_effect(reported: Evidence) -> None:
    reported.effects.clear()


def _leave_an_effect_twice(reported: Evidence) -> None:
    reported.effects.append(6)


def _leave_an_effect_of_a_failure(reported: Evidence) -> None:
    reported.jobs[1] = replace(reported.jobs[1], class_name="chaos.sealed")
    reported.effects.append(2)


def _see_more_slots_than_the_limit(reported: Evidence) -> None:
    reported.seen["more slots than the limit"] = ["2 of 1"]


DOCTORED: dict[Callable[[Evidence], None], set[str]] = {
    _lose_a_job: {"lost"},
    _take_from_everywhere: {"lost"},
    _keep_what_was_rolled_back: {"there though rolled back"},
    _lose_an_order: {"stored in part"},
    _store_again: {"stored twice"},
    _finish_again: {"recorded twice"},
    _count_an_attempt_twice: {"recorded twice"},
    _finish_what_did_not_end: {"recorded wrongly"},
    _erase_what_did_not_end: {"recorded wrongly"},
    _run_beyond_the_last_attempt: {"run too often"},
    _run_without_a_claim: {"run too often"},
    _run_twice_for_one_claim: {"run too often"},
    _run_what_was_taken_away: {"run too often"},
    _do_not_count_a_crash: {"run too often"},
    _overlap: {"limit exceeded"},
    _leave_a_slot: {"slots leaked"},
    _leave_a_finished_job_ready: {"in two places", "stuck"},
    _leave_a_job_claimed: {"stuck"},
    _leave_a_process: {"left behind"},
    _err: {"own errors"},
    _see_more_slots_than_the_limit: {"limit exceeded"},
    _keep_a_duplicate: {"there though rolled back"},
    _fail_what_was_cancelled: {"ended unlawfully"},
    _finish_what_waited_when_it_was_cancelled: {"ended unlawfully"},
    _cancel_by_nobody: {"ended unlawfully"},
    _expire_without_a_time: {"ended unlawfully"},
    _expire_long_before: {"ended unlawfully"},
    _limit_what_has_no_limit: {"ended unlawfully"},
    _begin_too_late: {"begun too late"},
    _run_two_of_one_key: {"two of one key"},
    _see_two_of_one_key: {"two of one key"},
    _finish_without_effect: {"effects not once"},
    _leave_an_effect_twice: {"effects not once"},
    _leave_an_effect_of_a_failure: {"effects not once"},
}


def test_a_good_story_has_no_fault() -> None:
    assert wrong(story()) == set()


@pytest.mark.parametrize("doctor", DOCTORED, ids=lambda each: each.__name__)
def test_each_fault_shows_in_its_own_figure(doctor: Callable[[Evidence], None]) -> None:
    reported = story()

    doctor(reported)

    assert wrong(reported) == DOCTORED[doctor]


@pytest.mark.parametrize(
    ("what", "by"),
    [("kill", "monitor-b"), ("TERM", "monitor-a"), ("freeze", "monitor-b")],
)
def test_a_run_may_be_repeated_uncounted_when_its_tree_was_lost_or_asked_to_end(
    what: str, by: str
) -> None:
    reported = story()
    reported.holdings[0].recorded, reported.holdings[0].ended_by = False, by
    reported.jobs[0] = replace(reported.jobs[0], attempts=1)
    reported.runs[1].attempt = 1
    reported.recordings[:2] = [Recording(11, 0, 1, None, "finished")]
    reported.attempts.remove((11, 1))
    assert wrong(reported) == {"run too often"}

    reported.asked.append(Asked(1.5, "a1", 100 if what == "freeze" else 0, what, until=1.9))

    assert wrong(reported) == set()


@pytest.mark.parametrize(("ended", "kept"), [(1.4, True), (1.8, False), (None, False)])
def test_what_ended_before_a_tree_was_stopped_without_a_database_is_counted(
    ended: float | None, *, kept: bool
) -> None:
    reported = story()
    reported.holdings[0].recorded = False
    reported.jobs[0] = replace(reported.jobs[0], attempts=1)
    reported.runs[0].ended = ended
    reported.runs[0].result = None if ended is None else "ValueError"
    reported.runs[1].attempt = 1
    reported.recordings[:2] = [Recording(11, 0, 1, None, "finished")]
    reported.attempts.remove((11, 1))
    reported.asked += [Asked(1.0, "a1", 0, "TERM"), Asked(1.0, "a1", 0, "away", until=1.6)]

    assert wrong(reported) == ({"run too often"} if kept else set())

    reported.asked.append(Asked(1.2, "a1", 100, "kill"))

    assert wrong(reported) == set()

    # A job that completes itself runs on behind its line, until the database has answered.
    reported.asked.pop()
    reported.jobs[0] = replace(reported.jobs[0], class_name="chaos.sealed")
    reported.runs[0].result = "NoneType"
    reported.effects.append(1)

    assert wrong(reported) == set()


def test_a_coroutine_may_be_repeated_uncounted_when_its_worker_was_one_too_many() -> None:
    reported = story()
    reported.holdings[0].recorded, reported.holdings[0].ended_by = False, "worker-a"
    reported.jobs[0] = replace(reported.jobs[0], attempts=1)
    reported.runs[0].result = "CancelledError"
    reported.runs[1].attempt = 1
    reported.recordings[:2] = [Recording(11, 0, 1, None, "finished")]
    reported.attempts.remove((11, 1))
    assert wrong(reported) == {"run too often"}

    reported.asked.append(Asked(1.5, "a1", 0, "TTOU"))

    assert wrong(reported) == set()


def test_a_finished_job_may_be_erased() -> None:
    reported = story()

    reported.jobs[2] = replace(reported.jobs[2], outcome="erased", attempts=0)

    assert wrong(reported) == set()


def test_a_snoozed_job_may_be_kept_out_by_its_limit_and_erased() -> None:
    reported = story()
    reported.jobs.append(StoredJob(26, 39, 0, 1, "erased", None, "chaos.picky"))
    reported.runs.append(Run(39, 26, 1, 101, 7.6, "chaos.picky/k1", 7.7, "Snooze"))
    reported.holdings.append(Holding(26, 101, 7.6, 7.8, "worker-b"))
    assert wrong(reported) == set()

    reported.holdings[-1].recorded = True

    assert wrong(reported) == {"recorded wrongly"}


def test_a_process_declared_dead_no_longer_holds_its_limit() -> None:
    reported = story()
    reported.sightings[100].until = 9.0
    assert wrong(reported) == {"limit exceeded"}

    reported.holdings[0].ended_by = "monitor-b"

    assert wrong(reported) == set()
