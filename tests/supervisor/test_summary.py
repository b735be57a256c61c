"""Once a minute the log has one line about all jobs of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import tree_figures
from jobsd.supervisor.monitor.tree_figures import Summary, quantile

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder


class Minutes:
    """A tree's summary, and a clock that a test turns."""

    def __init__(self, clock: pytest.MonkeyPatch, emitted: list[dict[str, Any]]) -> None:
        self.now_s = 1000.0
        clock.setattr(tree_figures, "monotonic", lambda: self.now_s)
        self.scoreboard = Scoreboard()
        self.entry = self.scoreboard.entries[0]
        self.entry.take("worker", "worker-1")
        self.entry.tick()
        self.summary = Summary(self.scoreboard)
        self.emitted = emitted

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        self.summary.poll()


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch, recorder: EventRecorder) -> Minutes:
    return Minutes(monkeypatch, recorder.facts("jobs.counted"))


def test_a_minute_in_which_jobs_ran_has_one_line(minutes: Minutes) -> None:
    mail, other = minutes.entry.queue("mail"), minutes.entry.queue("other")
    mail.count("finished", 90)
    other.count("failed", 10)
    mail.observe(waits_s=[0.02] * 90, runs_s=[0.2] * 90)
    other.observe(waits_s=[7.0] * 10, runs_s=[0.2] * 10)
    minutes.entry.set_threads(2, 3)

    minutes.pass_s(59.0)
    assert minutes.emitted == []
    minutes.pass_s(1.0)
    minutes.pass_s(1.0)

    (line,) = minutes.emitted
    assert line == {
        "started": 102,
        "finished": 90,
        "failed": 10,
        "retried": 0,
        "discarded": 0,
        "released": 0,
        "wait_p95": 7.5,
        "run_p95": pytest.approx(0.48),
        "seconds": 60.0,
    }


def test_each_minute_counts_alone_and_an_idle_one_has_no_line(minutes: Minutes) -> None:
    queue = minutes.entry.queue("mail")
    for finished in (5, 0, 7):
        queue.count("finished", finished)
        queue.observe(waits_s=[0.001] * finished, runs_s=[0.001] * finished)
        minutes.pass_s(60.0)

    assert [line["finished"] for line in minutes.emitted] == [5, 7]


def test_the_successor_of_a_monitor_counts_nothing_twice(minutes: Minutes) -> None:
    minutes.entry.queue("mail").count("finished", 5)
    minutes.summary = Summary(minutes.scoreboard)

    minutes.pass_s(60.0)

    assert minutes.emitted == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0] * 12, None),
        ([100, *[0] * 11], 0.0048),
        ([0] * 11 + [3], 1800.0),
        ([94, 0, 0, 0, 0, 6, *[0] * 6], 0.5833),
    ],
)
def test_a_share_is_found_as_prometheus_finds_it(
    counts: list[int], expected: float | None
) -> None:
    assert quantile(counts, 0.95) == (
        None if expected is None else pytest.approx(expected, abs=1e-4)
    )
