"""Functions of the author's, called at moments and at events."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

import jobsd
from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.errors import Error
from jobsd.events import events, hooks
from jobsd.events.hooks import Process
from jobsd.events.killed_jobs import KilledAttempt, on_killed
from jobsd.jobs.current import CurrentJob, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.events.event_list import Event

PROCESS = Process("worker", "worker-1", 42, "web-1", 7)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget at the end what a test has registered."""
    yield
    hooks.reset()


@pytest.fixture
def reported(recorder: EventRecorder) -> Emitted:
    """All events, as the log would hear them."""
    return recorder.events()


def test_a_hook_is_called_with_the_process() -> None:
    called: list[Process] = []
    jobsd.on_worker_start(called.append)

    hooks.call("on_worker_start", PROCESS)

    assert called == [PROCESS]


def test_a_hook_that_takes_nothing_is_given_nothing(reported: Emitted) -> None:
    called: list[str] = []

    @jobsd.on_start
    def hook() -> None:
        called.append("started")

    hooks.call("on_start", PROCESS)

    assert (called, reported) == (["started"], [])


def test_a_decorated_function_stays_as_it_is() -> None:
    def hook(process: Process) -> str:
        return process.name

    assert jobsd.on_exit(hook) is hook


def test_the_repr_of_public_objects_names_them() -> None:
    assert repr(jobsd.on_worker_start) == "<hook on_worker_start>"
    assert repr(PROCESS) == (
        "Process(kind='worker', name='worker-1', pid=42, hostname='web-1', id=7, metadata={})"
    )
    assert repr(events.EVENTS["job.started"]).startswith(
        "Event(name='job.started', level='debug', meaning='A job begins to run.'"
    )


def test_hooks_of_a_moment_are_called_in_their_order_each_once() -> None:
    called: list[int] = []

    def first(_process: Process) -> None:
        called.append(1)

    def second(_process: Process) -> None:
        called.append(2)

    jobsd.on_start(first)
    jobsd.on_start(second)
    jobsd.on_start(first)

    hooks.call("on_start", PROCESS)

    assert called == [1, 2]


def test_a_hook_may_be_a_coroutine() -> None:
    called: list[Process] = []

    @jobsd.on_worker_stop
    async def hook(process: Process) -> None:
        called.append(process)

    hooks.call("on_worker_stop", PROCESS)

    assert called == [PROCESS]


@pytest.mark.behaviour(35)
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_an_error_of_a_hook_is_logged_and_the_next_is_called(
    error: BaseException, reported: Emitted
) -> None:
    called: list[Process] = []

    @jobsd.on_worker_exit
    def fails(_process: Process) -> None:
        raise error

    jobsd.on_worker_exit(called.append)

    hooks.call("on_worker_exit", PROCESS)

    name, facts = reported[0]
    assert (name, facts["hook"], facts["error"]) == ("hook.failed", "on_worker_exit", error)
    assert facts["function"].endswith("fails")
    assert called == [PROCESS]


def test_an_event_hook_hears_the_events_it_names() -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    @jobsd.on_event("job.failed", "process.replaced")
    def hear(event: Event, facts: dict[str, Any]) -> None:
        heard.append((event.name, facts))

    events.emit("job.failed", job_id=1)
    events.emit("job.finished", job_id=2)

    assert heard == [("job.failed", {"job_id": 1})]


def test_an_event_hook_without_names_is_called_for_all_whatever_the_log_level() -> None:
    heard: list[str] = []
    end = events.subscribe(lambda _event, _facts: None, level="error")

    @jobsd.on_event
    def hear(event: Event, _facts: dict[str, Any]) -> None:
        heard.append(event.name)

    events.emit("job.started", job_id=1)

    end()
    assert heard == ["job.started"]


def test_a_misspelt_event_is_refused_with_the_nearest() -> None:
    with pytest.raises(Error, match=r"no event 'job.fail'; did you mean 'job.failed'"):
        jobsd.on_event("job.fail")


def test_an_event_hook_that_raises_is_logged_once(reported: Emitted) -> None:
    @jobsd.on_event()
    def fails(event: Event, _facts: dict[str, Any]) -> None:
        raise ValueError(event.name)

    events.emit("job.started", job_id=1)

    assert names(reported) == ["job.started", "hook.failed"]


def test_an_event_hook_can_not_change_the_facts_of_the_log(reported: Emitted) -> None:
    @jobsd.on_event("job.started")
    def spoil(_event: Event, facts: dict[str, Any]) -> None:
        facts.clear()

    events.emit("job.started", job_id=1)
    events.emit("job.started", job_id=2)

    assert [facts for _, facts in reported] == [{"job_id": 1}, {"job_id": 2}]


def test_errors_of_our_own_threads_and_loops_are_heard() -> None:
    heard: list[BaseException] = []
    jobsd.on_thread_error(heard.append)
    error = ZeroDivisionError()

    events.emit("process.crashed", error=error)
    events.emit("thread.failed", error=error, thread="rounds", ours=True)

    assert heard == [error, error]


@pytest.mark.parametrize(
    ("event", "facts"),
    [
        ("job.failed", {"job_id": 1}),
        ("thread.failed", {"thread": "of a job", "ours": False}),
        ("process.crashed", {"module": "app"}),
    ],
)
def test_errors_of_others_are_not(event: str, facts: dict[str, Any]) -> None:
    heard: list[BaseException] = []
    jobsd.on_thread_error(heard.append)

    events.emit(event, error=ZeroDivisionError(), **facts)

    assert heard == []


def test_an_error_from_another_process_keeps_its_type_and_message() -> None:
    heard: list[BaseException] = []
    jobsd.on_thread_error(heard.append)

    events.pass_on("thread.failed", {"error": {"type": "KeyError", "message": "'x'"}})

    assert [(type(each), str(each)) for each in heard] == [(jobsd.ThreadError, "KeyError: 'x'")]


def test_an_event_passed_on_by_another_process_is_not_logged_again(reported: Emitted) -> None:
    events.pass_on("process.replaced", {})

    assert reported == []


def test_where_a_hook_hangs_is_logged() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()

    error = hooks.overdue(thread, 2.0)

    release.set()
    thread.join()
    assert error["message"].startswith("it still runs after 2 s")
    assert "in wait" in error["stack"]


def test_an_event_hook_in_a_job_can_not_change_the_facts_of_others(
    reported: Emitted,
) -> None:
    @jobsd.on_event("job.started")
    def spoil(_event: Event, facts: dict[str, Any]) -> None:
        facts.clear()

    heard: list[dict[str, Any]] = []

    @jobsd.on_event("job.started")
    def hear(_event: Event, facts: dict[str, Any]) -> None:
        heard.append(facts)

    with running(CurrentJob(7, 1, "mail", "app.send")):
        events.emit("job.started", job_id=7)

    assert heard == [{"job_id": 7}]
    assert [facts for _, facts in reported] == [{"job_id": 7}]


def test_what_an_event_hook_sets_stays_with_it_where_a_thread_goes_on() -> None:
    here: ContextVar[str] = ContextVar("here", default="nothing")

    @jobsd.on_event("job.started")
    def sets(_event: Event, _facts: dict[str, Any]) -> None:
        here.set("the hook's")

    events.emit("job.started", job_id=1)

    assert here.get() == "nothing"


@pytest.mark.parametrize(
    ("error", "killed"),
    [
        ({"type": "ProcessExitError", "message": "m"}, True),
        ({"type": "TimeLimitExceeded", "message": "m", "kill_after": 10.0}, True),
        ({"type": "TimeLimitExceeded", "message": "m"}, False),
        (ValueError("m"), False),
        (None, False),
    ],
)
@pytest.mark.parametrize("name", ["job.failed", "job.retried"])
def test_a_killed_attempt_is_reported_by_retried_and_failed_events(
    error: object, name: str, *, killed: bool
) -> None:
    reported: list[KilledAttempt] = []
    on_killed(reported.append)

    events.pass_on(
        name,
        {"job_id": 7, "class_name": "app.send", "queue_name": "mail", "attempt": 2}
        | {"error": error},
    )

    assert [(each.job_id, each.message, each.retried) for each in reported] == (
        [(7, "m", name == "job.retried")] if killed else []
    )
