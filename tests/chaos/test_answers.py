"""The checker finds what is wrong with answers, replacements, times and logs, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from chaos.checker import wrong
from chaos.evidence import Holding
from chaos.test_checker import story

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.evidence import Evidence


def _leave_a_waiter_unanswered(reported: Evidence) -> None:
    reported.answers[0] = replace(reported.answers[0], word="unanswered")


def _answer_with_the_result_of_another(reported: Evidence) -> None:
    reported.answers[0] = replace(reported.answers[0], result={"n": 4})


def _say_that_it_has_failed(reported: Evidence) -> None:
    reported.answers[0] = replace(reported.answers[0], word="failed", result="ValueError")


def _say_that_it_is_gone(reported: Evidence) -> None:
    reported.answers[0] = replace(reported.answers[0], word="gone", result=None)


def _finish_without_a_result(reported: Evidence) -> None:
    reported.results.clear()


def _forget_a_replacement(reported: Evidence) -> None:
    _put(reported, 22, 32)


def _run_with_what_was_replaced(reported: Evidence) -> None:
    reported.runs[8].n = 33


def _put(reported: Evidence, job_id: int, n: int) -> None:
    """Let a job be stored, and run, with another number."""
    reported.jobs = [replace(job, n=n) if job.id == job_id else job for job in reported.jobs]
    for run in reported.runs:
        run.n = n if run.job_id == job_id else run.n


def _store_a_second_in_time(reported: Evidence) -> None:
    reported.asks[5] = replace(reported.asks[5], state="new", job_id=26)


def _keep_one_out_too_long(reported: Evidence) -> None:
    reported.asks[6] = replace(reported.asks[6], state="duplicate", job_id=24, began=7.25)


def _log_what_another_has_said(reported: Evidence) -> None:
    reported.logs[0] = (21, "said 3.\nsaid 31.")


def _leave_a_log(reported: Evidence) -> None:
    reported.logs.append((22, "said 34."))


def test_a_success_lost_with_its_process_may_be_repeated_uncounted() -> None:
    reported = story()
    place = next(n for n, run in enumerate(reported.runs) if run.job_id == 21)
    lost = replace(reported.runs[place], began=6.2, ended=6.3)
    reported.runs.insert(place, lost)
    reported.holdings.append(Holding(21, 101, 6.1, 6.8, "monitor-a"))
    assert wrong(reported) == set()

    reported.holdings[-1].ended_by = "worker-b"

    assert wrong(reported) == {"run too often"}


def test_of_a_job_that_went_with_its_row_the_end_is_kept() -> None:
    reported = story()
    reported.jobs = [
        replace(job, outcome="erased") if job.id == 21 else job for job in reported.jobs
    ]
    before = wrong(reported)

    _say_that_it_is_gone(reported)

    assert wrong(reported) - before == {"answered wrongly"}
    assert "answered wrongly" not in before


DOCTORED: dict[Callable[[Evidence], None], str] = {
    _leave_a_waiter_unanswered: "answered wrongly",
    _answer_with_the_result_of_another: "answered wrongly",
    _say_that_it_has_failed: "answered wrongly",
    _say_that_it_is_gone: "answered wrongly",
    _finish_without_a_result: "answered wrongly",
    _forget_a_replacement: "replaced wrongly",
    _run_with_what_was_replaced: "replaced wrongly",
    _store_a_second_in_time: "kept out wrongly",
    _keep_one_out_too_long: "kept out wrongly",
    _log_what_another_has_said: "logged wrongly",
    _leave_a_log: "logged wrongly",
}


@pytest.mark.parametrize("doctor", DOCTORED, ids=lambda each: each.__name__)
def test_each_fault_shows_in_its_own_figure(doctor: Callable[[Evidence], None]) -> None:
    reported = story()

    doctor(reported)

    assert wrong(reported) == {DOCTORED[doctor]}
