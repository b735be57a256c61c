"""The second minute, process and reading of the figures of a tree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from jobsd.configuration.options import WorkerOptions
from jobsd.database.connection import Session, Target
from jobsd.metrics.figures import DatabaseFigures
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import freshness, history, scraping, tree_figures
from jobsd.supervisor.monitor.arrivals import Arrivals
from jobsd.supervisor.monitor.freshness import Fresh
from jobsd.supervisor.monitor.history import History
from jobsd.supervisor.monitor.scraping import Scraping, threads_for
from jobsd.supervisor.monitor.tree_figures import Summary

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from rows import Rows

NOWHERE = Target("postgresql://nowhere")


def _tree(workers: int = 1) -> Scoreboard:
    scoreboard = Scoreboard()
    for number in range(1, workers + 1):
        entry = scoreboard.entries[number - 1]
        entry.take("worker", f"worker-{number}", number)
        entry.tick()
    return scoreboard


# The history of two trees.


def _count(scoreboard: Scoreboard, times: int) -> None:
    entry = scoreboard.entries[0]
    mail, welcome = entry.queue("mail"), entry.job_class("welcome")
    for counters in (mail, welcome):
        for number, outcome in enumerate(("finished", "failed", "retried", "discarded"), 1):
            counters.count(outcome, number * times)
    mail.observe(waits_s=[0.5] * times, runs_s=[2.0] * times, also=welcome)


@pytest.mark.parametrize("table", ["minutes", "hours"])
def test_the_counts_of_two_trees_are_added_in_each_column(
    session: Session, rows: Rows, table: str
) -> None:
    trees = [_tree(), _tree()]
    for times, tree in enumerate(trees, 1):
        written = History(session, tree)
        _count(tree, times)
        written.write()

    # They may be in two minutes, or in two hours.
    (sums,) = rows(
        "SELECT ARRAY[sum(finished), sum(failed), sum(retried), sum(discarded), sum(wait_s),"
        " sum(run_s), sum((SELECT sum(n) FROM unnest(waits) AS n)),"
        " sum((SELECT sum(n) FROM unnest(runs) AS n))]::float8[]"
        f" FROM jobsd.history_{table}"
    )
    assert sums == pytest.approx([3, 6, 9, 12, 1.5, 6.0, 3, 3])


def test_a_queue_that_only_ends_jobs_keeps_its_row_of_arrivals(
    session: Session, rows: Rows
) -> None:
    rows(
        "INSERT INTO jobsd.arrivals (queue_name, enqueued, changed_at)"
        " VALUES ('mail', 1, now() - '31 days'::interval)"
    )
    tree = _tree()
    written = History(session, tree)
    _count(tree, 1)
    written.write()

    assert rows(
        "SELECT ARRAY[ended, enqueued, (changed_at > now() - '1 day'::interval)::int]"
        " FROM jobsd.arrivals"
    ) == [[5, 1, 1]]


def test_jobs_that_were_discarded_have_ended_like_finished_ones() -> None:
    tree = _tree()
    past = History(cast("Session", None), tree)
    _count(tree, 2)

    assert past.ended() == {"mail": 2 + 8}


def test_after_each_writing_failures_are_counted_and_a_minute_begins(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, folded = 1_000.0, list[object]()
    monkeypatch.setattr(history, "monotonic", lambda: now_s)
    monkeypatch.setattr("jobsd.operations.failures.fold", folded.append)
    tree = _tree()
    written = History(session, tree)
    for pause_s in (history.EVERY_S, 1.0, history.EVERY_S - 1.0):
        now_s += pause_s
        _count(tree, 1)
        written.poll()

    assert folded == [session, session]


# A scrape.


@pytest.mark.parametrize(
    ("before", "after", "known"), [(2, 2, {"mail": 1}), (3, 3, None), (2, 4, None)]
)
def test_no_arrival_is_stored_while_the_history_is_written(
    monkeypatch: pytest.MonkeyPatch, before: int, after: int, known: object
) -> None:
    past = SimpleNamespace(writes=before, ended=lambda: {"mail": 1})
    answer = Scraping(NOWHERE, Scoreboard(), cast("History", past))
    ended: list[object] = []

    def read(*_: object, **__: object) -> DatabaseFigures:
        past.writes = after
        return DatabaseFigures({}, {}, {}, {}, {}, {})

    def update(
        _own: object, _session: object, _figures: object, ended_here: object
    ) -> dict[str, int]:
        ended.append(ended_here)
        return {}

    monkeypatch.setattr(scraping, "database_figures", read)
    monkeypatch.setattr(Arrivals, "update", update)
    answer.answer()

    assert ended == [known]


def test_a_connection_on_which_a_reading_failed_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, closed = Scraping(NOWHERE, Scoreboard(), cast("History", None)), list[str]()

    def fail() -> None:
        raise psycopg.errors.QueryCanceled("too long")

    def close(_: Session) -> None:
        closed.append("closed")

    monkeypatch.setattr(answer, "_read_once", fail)
    monkeypatch.setattr(Session, "close", close)
    answer.answer()

    assert closed == ["closed"]


def test_a_worker_of_coroutines_performs_as_many_jobs_at_once() -> None:
    assert threads_for("mail", (WorkerOptions(queues=("mail",), coroutines=50),)) == 50


# A value that is read in the background.


def test_a_failed_reading_keeps_the_last_value_and_is_repeated(
    monkeypatch: pytest.MonkeyPatch, recorder: EventRecorder
) -> None:
    monkeypatch.setattr(freshness, "RETRY_S", 0.0)
    failed = recorder.events("thread.failed")
    answers: list[Any] = [1, psycopg.OperationalError("away"), ValueError("ours"), 2]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast("int", answer)

    fresh = Fresh(read, share=0.0)
    known: list[int | None] = []
    for _ in range(4):
        fresh.get(max_age_s=-1, wait_s=5)
        known.append(fresh.last)

    assert known == [1, 1, 1, 2]
    assert len(failed) == 1


def test_a_fresh_value_is_not_read_again() -> None:
    readings = iter(range(10))
    fresh = Fresh(lambda: next(readings))
    assert fresh.get(max_age_s=60, wait_s=5) == 0
    fresh.begin(60)

    assert fresh.get(max_age_s=60, wait_s=5) == 0
    assert next(readings) == 1


def test_without_a_thread_nobody_waits_for_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", fail)
    fresh = Fresh(lambda: 1)
    fresh.begin(0)

    assert fresh.asked.is_set()


# The sums of a tree.


def test_counts_of_all_processes_and_of_the_supervisor_are_added() -> None:
    scoreboard = _tree(2)
    scoreboard.dropped_lines = 4
    for entry in scoreboard.entries[:2]:
        entry.count_dropped_lines(3)
        entry.count_request("/", "200")

    figures = tree_figures.tree_figures(scoreboard)

    assert figures.dropped_lines == 10
    assert sum(figures.web_requests.values()) == 2


def test_restarts_are_shown_of_the_kinds_that_the_tree_has() -> None:
    scoreboard = _tree()
    scoreboard.entries[1].take("scheduler", "scheduler-1")
    scoreboard.entries[1].free()

    figures = tree_figures.tree_figures(scoreboard)

    assert {kind for kind, _ in figures.restarts} == {"worker"}


def test_no_number_of_idle_threads_or_coroutines_is_negative() -> None:
    scoreboard = _tree()
    scoreboard.entries[0].set_threads(5, 3)

    figures = tree_figures.tree_figures(scoreboard)

    assert (figures.idle_threads, figures.idle_coroutines) == (0, 0)


# A line a minute.


def test_jobs_that_go_on_have_started_once_and_ends_alone_have_a_line(
    monkeypatch: pytest.MonkeyPatch, recorder: EventRecorder
) -> None:
    now_s, lines = 1_000.0, recorder.facts("jobs.counted")
    monkeypatch.setattr(tree_figures, "monotonic", lambda: now_s)
    scoreboard = _tree()
    entry, summary = scoreboard.entries[0], Summary(scoreboard)
    for busy, pause_s in ((2, 60.0), (2, 1.0), (2, 59.0), (0, 60.0)):
        entry.set_threads(busy, 3)
        entry.queue("mail").count("discarded")
        now_s += pause_s
        summary.poll()

    found = [(line["started"], line["discarded"]) for line in lines]
    assert found == [(2, 1), (0, 2), (0, 1)]
