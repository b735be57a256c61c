"""Jobs that no exception reaches: their process ends them, and nothing else suffers by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

JOBS = """
import ctypes, os, socket, threading, time
from pathlib import Path
from jobsd import current_job, job

WAYS = ("sleep", "recv", "lock", "held")

@job(timeout="200ms", kill_after="300ms")
def stuck(how: str) -> None:
    if how == "sleep":
        time.sleep(60)
    elif how == "recv":
        ours, theirs = socket.socketpair()
        ours.recv(1)
    elif how == "lock":
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    else:
        # A function in C that keeps the interpreter's lock.
        ctypes.PyDLL(None).sleep(60)

@job(kill_after="300ms")
def deaf() -> None:
    time.sleep(60)

@job(kill_after="300ms")
def deaf_in_c() -> None:
    Path("deaf-in-c").touch()
    ctypes.PyDLL(None).sleep(60)

@job
async def blocking() -> None:
    time.sleep(60)

@job
async def beside() -> None:
    pass

@job
def neighbour(name: str) -> None:
    begun = Path(f"begun-{name}")
    if not begun.exists():
        begun.touch()
        time.sleep(60)

@job(timeout="100ms", kill_after="100ms")
def shielded() -> None:
    with current_job().shield():
        time.sleep(1)
"""
WAYS = ("sleep", "recv", "lock", "held")
SHOW = """
import dataclasses, json
from jobsd import find
found = [find(n) for n in range(1, 12)]
print(json.dumps([dataclasses.asdict(each) for each in found], default=str))
"""


def _settings() -> str:
    queues = (*WAYS, "deaf", "shielded", "in_c")
    workers = ", ".join(f"{{queues: {queue}, threads: 2}}" for queue in queues)
    return f"import: [stuck_jobs]\nworkers: [{workers}]\nsupervisor: {{shutdown_timeout: 60}}\n"


@pytest.mark.failure(
    "A job waits in C, or holds the interpreter's lock, and is over its time limit",
    "Its process is ended; the job fails by its own policy, and the jobs that ran beside it"
    " are released",
)
def test_a_job_that_can_not_be_interrupted_ends_with_its_process(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.write("stuck_jobs.py", JOBS)
    project.write("config/queue.yml", _settings())
    with project.start("--metrics-bind", "127.0.0.1:0") as tree:
        tree.wait_event("supervisor.ready")
        project.python(
            "import stuck_jobs as s\nfrom pathlib import Path\nimport time\n"
            "for way in s.WAYS: s.neighbour.using(queue=way).enqueue(way)\n"
            "s.deaf.using(queue='deaf').enqueue()\n"
            "s.shielded.using(queue='shielded').enqueue()\n"
            "s.deaf_in_c.using(queue='in_c').enqueue()\n"
            "while not Path('deaf-in-c').exists(): time.sleep(0.01)\n"
            "while not all(Path(f'begun-{way}').exists() for way in s.WAYS): time.sleep(0.01)\n"
            "for way in s.WAYS: s.stuck.using(queue=way).enqueue(way)\n"
        )

        project.run("cancel", "--all", "--class", "*deaf", "--force", "--yes")
        project.run("cancel", "--all", "--class", "*deaf_in_c", "--force", "--yes")

        def jobs() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(project.python(SHOW))
            return found

        def ended() -> bool:
            return all(each["state"] in {"failed", "finished", "discarded"} for each in jobs())

        wait_until(ended, 60, tree.reported)
        shown = jobs()
        metrics = project.run("metrics").stdout

    of = {
        name: [each for each in shown if each["class_name"].endswith(name)]
        for name in ("stuck", "neighbour", "deaf", "deaf_in_c", "shielded")
    }
    assert {each["state"] for each in of["stuck"]} == {"failed"}, tree.reported()
    for each in of["stuck"]:
        assert (each["attempts"], each["errors"][0]["type"]) == (1, "TimeLimitExceeded")
        assert (
            "time limit of 0.2 s and did not stop within 0.3 s" in each["errors"][0]["message"]
        )
    stacks = {each["queue_name"]: each["errors"][0]["stack"] for each in of["stuck"]}
    assert all("in stuck" in stacks[way] for way in WAYS), stacks
    # What ran beside them has lost no attempt.
    assert [(each["state"], each["attempts"], each["errors"]) for each in of["neighbour"]] == [
        ("finished", 1, [])
    ] * len(WAYS)
    for name in ("deaf", "deaf_in_c"):
        (deaf,) = of[name]
        assert (deaf["state"], deaf["reason"]) == ("discarded", "cancelled")
        assert deaf["errors"][0]["type"] == "Cancelled", tree.reported()
        assert f"in {name}" in deaf["errors"][0]["stack"]
    # A shield is waited for; then the soft limit strikes.
    (shielded,) = of["shielded"]
    assert (shielded["state"], "did not stop" in shielded["errors"][0]["message"]) == (
        "failed",
        False,
    )
    assert (
        sum(
            float(line.rsplit(" ", 1)[1])
            for line in metrics.splitlines()
            if line.startswith("jobsd_timeouts_total") and 'kind="hard"' in line
        )
        == len(WAYS) + 2
    )


@pytest.mark.failure(
    "An asynchronous job blocks the event loop for `hang_timeout`",
    "Its process is ended as for one that is over its limit; the attempt fails with its stack.",
)
def test_a_loop_that_is_blocked_for_long_ends_with_its_process(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.write("stuck_jobs.py", JOBS)
    project.write(
        "config/queue.yml",
        "import: [stuck_jobs]\nworkers: [{threads: 2}]\n"
        "supervisor: {shutdown_timeout: 60, hang_timeout: 5}\njobs: {kill_after: 1}\n",
    )
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        project.python("import stuck_jobs as s\ns.blocking.enqueue()")
        assert "in blocking" in tree.wait_event("job.blocking")["stack"]
        project.python("import stuck_jobs as s\ns.beside.enqueue()")

        failed = tree.wait_event("job.failed", within_s=60)
        shown: list[dict[str, Any]] = json.loads(
            project.python(SHOW.replace("range(1, 12)", "[1]"))
        )

    assert tree.events("process.overdue")
    assert failed["error"]["type"] == "ProcessExitError"
    assert "blocked the event loop" in failed["error"]["message"]
    assert "in blocking" in shown[0]["errors"][0]["stack"]
    assert shown[0]["attempts"] == 1
