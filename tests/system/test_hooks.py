"""Hooks in a whole tree: each once, where it belongs, and none of them in the way."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

LEDGER = """
import json, os, threading, time
import jobsd

def note(*words):
    line = json.dumps([*words, os.getpid()]) + "\\n"
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, line.encode())
    os.close(fd)

@jobsd.job
def quick(n):
    note("ran", n)
"""

ALL = """
def register(name):
    def hook(process):
        note(name, process.kind, process.name, process.pid, process.id)
    getattr(jobsd, name)(hook)

for name in dir(jobsd):
    if name.startswith("on_") and name not in {"on_event", "on_thread_error"}:
        register(name)
"""

UNRULY = """
@jobsd.on_worker_start
def fails(process):
    raise ValueError("a hook of the worker")

@jobsd.on_worker_stop
def hangs(process):
    time.sleep(60)

@jobsd.on_start
def leaves(process):
    raise SystemExit(3)

@jobsd.on_stop
def hangs_too(process):
    time.sleep(60)

@jobsd.on_exit
def last(process):
    note("last")
"""

HEARING = """
@jobsd.on_event("process.replaced", "job.finished")
def hear(event, facts):
    note(event.name, facts.get("kind") or facts["class_name"])

@jobsd.on_thread_error
def fault(error):
    note("fault", type(error).__name__, str(error))

@jobsd.job
def start_a_thread():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    raise KeyError("of the job")

@jobsd.job
def break_the_loop():
    from jobsd.worker.worker import Worker
    Worker.poll = lambda self: 1 / 0
"""

RECURRING = "tick: {class: app.quick, args: [1], schedule: every hour}\n"


@pytest.fixture
def hooked(tmp_path: Path, empty_database: str) -> Project:
    """A project whose module is still to be written."""
    made = Project(tmp_path, empty_database, LEDGER=str(tmp_path / "ledger"))
    made.write("config/queue.yml", "import: [app]\n")
    return made


def _noted(project: Project) -> list[list[Any]]:
    ledger = project.root / "ledger"
    lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
    return [json.loads(line) for line in lines]


@pytest.mark.behaviour(35)
def test_five_processes_call_fifteen_hooks_each_once_and_in_order(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + ALL)
    hooked.write("config/recurring.yml", RECURRING)

    with hooked.start() as tree:
        wait_until(lambda: len(_noted(hooked)) == 5, what="five starts")
        tree.terminate()

    noted = _noted(hooked)
    by_kind: dict[str, list[str]] = {}
    for name, kind, *_ in noted:
        by_kind.setdefault(kind, []).append(name)
    assert by_kind == {
        "supervisor": ["on_start", "on_stop", "on_exit"],
        **{
            kind: [f"on_{kind}_{moment}" for moment in ("start", "stop", "exit")]
            for kind in ("monitor", "dispatcher", "scheduler", "worker")
        },
    }
    assert noted[-1][0] == "on_exit"
    # One process each: its row, its pid, its name.
    assert len({(kind, *facts[:3]) for _, kind, *facts in noted}) == 5
    assert len({facts[2] for _, _, *facts in noted}) == 5
    assert not tree.events("hook.failed"), tree.reported()


def test_hooks_run_in_workers_and_schedulers_themselves_and_nowhere_in_the_others(
    hooked: Project,
) -> None:
    hooked.write("app.py", LEDGER + ALL)
    hooked.write("config/recurring.yml", RECURRING)

    with hooked.start() as tree:
        wait_until(lambda: len(_noted(hooked)) == 5, what="five starts")
        (process,) = tree.children("hooks")
        noted = {kind: (pid, by) for _, kind, _, pid, _, by in _noted(hooked)}
        tree.terminate()

    for kind in ("worker", "scheduler"):
        assert noted[kind][0] == noted[kind][1]
    for kind in ("supervisor", "monitor", "dispatcher"):
        assert noted[kind][1] == process.pid
    assert not psutil.pid_exists(process.pid)


def test_a_worker_starts_no_job_before_the_hooks_of_its_start(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + ALL)
    hooked.run("db", "migrate")
    hooked.run("enqueue", "app.quick", "[1]")

    with hooked.start() as tree:
        wait_until(lambda: ["ran", 1] in [noted[:2] for noted in _noted(hooked)])
        tree.terminate()

    names = [noted[0] for noted in _noted(hooked)]
    assert names.index("on_worker_start") < names.index("ran")


@pytest.mark.failure(
    "The user's hooks raise errors, or never return.",
    "The errors are reported with their stacks; nothing waits for hooks longer than a bounded"
    " time",
)
@pytest.mark.behaviour(35)
def test_hooks_that_fail_and_hang_are_reported_and_change_nothing(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + UNRULY)

    with hooked.start() as tree:
        tree.wait_event("hook.failed", 2)
        hooked.run("enqueue", "app.quick", "[1]")
        wait_until(lambda: ["ran", 1] in [noted[:2] for noted in _noted(hooked)])
        seconds = tree.terminate()

    tree.assert_clean_exit()
    assert seconds < 5 + 1 + 2.5
    reported = {each["hook"]: each["error"]["type"] for each in tree.events("hook.failed")}
    assert reported == {
        "on_worker_start": "ValueError",
        "on_start": "SystemExit",
        "on_worker_stop": "TimeoutError",
        "on_stop": "TimeoutError",
    }
    assert _noted(hooked)[-1][0] == "last"
    assert not tree.events("process.killed"), tree.reported()


def test_without_worker_hooks_there_is_no_hooks_process(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + "jobsd.on_worker_start(lambda process: note('start'))\n")

    with hooked.start() as tree:
        wait_until(lambda: _noted(hooked))
        assert tree.children("hooks") == []
        tree.terminate()


def test_events_and_faults_are_heard_wherever_they_happen(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + HEARING)

    with hooked.start() as tree:
        tree.wait_event("supervisor.ready")
        hooked.run("enqueue", "app.quick", "[1]")
        hooked.run("enqueue", "app.start_a_thread")
        tree.wait_event("job.failed")
        wait_until(lambda: len(_noted(hooked)) == 2)
        tree.children("worker")[0].kill()
        wait_until(lambda: len(_noted(hooked)) == 3)
        hooked.run("enqueue", "app.break_the_loop")
        wait_until(lambda: "fault" in [noted[0] for noted in _noted(hooked)])
        tree.terminate()

    noted = [each[:-1] for each in _noted(hooked)]
    assert noted[:3] == [
        ["ran", 1],
        ["job.finished", "app.quick"],
        ["process.replaced", "worker"],
    ]
    assert [each for each in noted if each[0] == "fault"] == [
        ["fault", "ZeroDivisionError", "division by zero"]
    ]
    (of_the_job,) = tree.events("thread.failed")
    assert of_the_job["ours"] is False


def test_a_reload_brings_the_new_code_of_hooks(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + "jobsd.on_exit(lambda process: note('old'))\n")

    with hooked.start() as tree:
        tree.wait_event("supervisor.ready")
        (old,) = tree.children("hooks")
        hooked.write("app.py", LEDGER + "jobsd.on_exit(lambda process: note('the new one'))\n")
        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reloaded")
        wait_until(lambda: not old.is_running())
        (new,) = tree.children("hooks")
        tree.terminate()

    assert [noted[0] for noted in _noted(hooked)] == ["the new one"]
    assert not psutil.pid_exists(new.pid)


def test_a_hook_that_kills_its_process_costs_only_its_own_call(hooked: Project) -> None:
    kills = "jobsd.on_start(lambda process: os.kill(os.getpid(), 9))\n"
    last = "jobsd.on_exit(lambda process: note('last'))\n"
    hooked.write("app.py", LEDGER + kills + last)

    with hooked.start() as tree:
        replaced = tree.wait_event("process.replaced")
        tree.terminate()

    assert (replaced["kind"], replaced["reason"]) == ("hooks", "signal")
    assert [noted[0] for noted in _noted(hooked)] == ["last"]
    tree.assert_clean_exit()


def test_at_once_no_hook_is_waited_for(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + ALL)

    with hooked.start() as tree:
        wait_until(lambda: len(_noted(hooked)) == 4, what="four starts")
        seconds = tree.terminate(signal.SIGQUIT)

    assert seconds < 1.5
    assert [noted[0] for noted in _noted(hooked) if "start" not in noted[0]] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_of_them_at_once_leaves_the_order_as_it_is(
    hooked: Project, number: signal.Signals
) -> None:
    slow = "jobsd.on_monitor_exit(lambda process: time.sleep(0.3))\n"
    hooked.write("app.py", LEDGER + slow + ALL)

    with hooked.start() as tree:
        wait_until(lambda: len(_noted(hooked)) == 4, what="four starts")
        os.killpg(tree.process.pid, number)
        tree.process.wait(30)

    names = [noted[0] for noted in _noted(hooked)]
    assert len(names) == 12
    assert names[-1] == "on_exit"


def test_nothing_of_it_outlives_a_killed_supervisor(hooked: Project) -> None:
    hooked.write("app.py", LEDGER + UNRULY)

    with hooked.start() as tree:
        tree.wait_event("supervisor.ready")
        assert tree.children("hooks")
        tree.process.kill()
        wait_until(lambda: not tree.alive(), 2)
