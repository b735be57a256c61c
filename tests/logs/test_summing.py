"""What repeats is summed up; its first lines are not lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.events.events import emit
from jobsd.logs import logs
from jobsd.logs.summing import KINDS_MAX, LINES_MAX
from waiting import wait_until

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from logs.readable_log import Log


@pytest.fixture(autouse=True)
def _summed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    # A second that a busy machine can't end in the middle of a test.
    monkeypatch.setattr("jobsd.logs.summing.WINDOW_S", 60.0)
    logs.configure("json", "info", kind="worker", name="worker-1", stream=log.writer, sums=True)


def _fail(times: int, class_name: str = "app.a", error: str = "ValueError") -> None:
    for number in range(times):
        reported = {"type": error, "message": f"no {number}", "stack": ""}
        emit("job.failed", job_id=number, class_name=class_name, error=reported)


def _sums(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "logs.summed"]


def test_the_first_lines_are_logged_and_the_others_summed_up(log: Log) -> None:
    _fail(LINES_MAX + 1000)
    logs.finish()

    *reported, summed = log.lines()
    assert [line["job_id"] for line in reported] == list(range(LINES_MAX))
    assert (summed["event"], summed["of"], summed["lines"]) == (
        "logs.summed",
        "job.failed",
        1000,
    )
    assert (summed["level"], summed["class_name"]) == ("error", "app.a")
    assert summed["error"]["type"] == "ValueError"
    assert summed["since"] <= reported[0]["timestamp"].replace("Z", "+00:00")


def test_each_class_and_error_has_its_own_first_lines(log: Log) -> None:
    _fail(LINES_MAX + 5)
    _fail(LINES_MAX + 6, "app.b")
    _fail(LINES_MAX + 7, "app.b", "KeyError")
    _fail(1, "app.c")
    logs.finish()

    lines = log.lines()
    sums = [(each["class_name"], each["error"]["type"], each["lines"]) for each in _sums(lines)]
    assert sums == [
        ("app.a", "ValueError", 5),
        ("app.b", "ValueError", 6),
        ("app.b", "KeyError", 7),
    ]
    assert len(lines) == 3 * LINES_MAX + 1 + 3


def test_a_sum_is_logged_though_nothing_follows(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.logs.summing.WINDOW_S", 0.05)
    lines: list[dict[str, Any]] = []

    def reported() -> int:
        lines.extend(log.lines())
        return sum(each["lines"] for each in _sums(lines))

    _fail(LINES_MAX * 10)
    wait_until(lambda: reported() + len(lines) - len(_sums(lines)) == LINES_MAX * 10)


def test_more_kinds_than_can_be_kept_apart_are_summed_up_together(log: Log) -> None:
    for number in range(KINDS_MAX + 500):
        _fail(1, f"app.c{number}")
    logs.finish()

    (summed,) = _sums(log.lines())
    assert summed["lines"] == 500 - LINES_MAX
    assert "class_name" not in summed


def test_events_of_processes_are_never_summed_up(log: Log) -> None:
    for _ in range(100):
        emit("process.exited", kind="worker")
    logs.finish()

    assert len(log.lines()) == 100


def test_without_summing_each_line_is_logged(log: Log) -> None:
    log.configure()

    _fail(100)

    assert len(log.lines()) == 100


def test_hooks_hear_of_each(log: Log, recorder: EventRecorder) -> None:
    heard = recorder.facts("job.failed")

    _fail(500)

    assert len(heard) == 500
    assert len(log.lines()) == LINES_MAX


def test_a_sum_that_was_logged_early_leaves_no_timer() -> None:
    _fail(LINES_MAX + 3)
    assert _timers()
    logs.finish()

    wait_until(lambda: not _timers())


def _timers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_a_log_that_is_closed_writes_its_sums(log: Log) -> None:
    _fail(LINES_MAX + 3)
    logs.reset()

    assert _sums(log.lines())[0]["lines"] == 3


@pytest.mark.failure(
    "Jobs fail again and again in a process that may start no more threads.",
    "Each line is reported, because no thread can sum them up; work continues.",
)
def test_each_line_is_logged_if_no_thread_can_start(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    _fail(LINES_MAX + 10)

    assert [line["job_id"] for line in log.lines()] == list(range(LINES_MAX + 10))
