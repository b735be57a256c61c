"""A gap that is real: a tree whose heartbeats stop and return, as all who watch it see it."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

from harness.project import Project
from system.commands import Commands
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target

QUEUE = """
workers: [{threads: 1}]
scheduler: {}
supervisor: {heartbeat_interval: 1}
"""
RECURRING = """
heartbeat: {class: HeartbeatJob, schedule: every second, overlap: skip}
"""


def _healthz(port: int) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/healthz")
    reply = connection.getresponse()
    answer = reply.status, json.load(reply)
    connection.close()
    return answer


def test_every_check_sees_heartbeats_stop_and_return(tmp_path: Path, target: Target) -> None:
    project = Project(tmp_path, target.url)
    project.write("config/queue.yml", QUEUE)
    project.write("config/recurring.yml", RECURRING)
    run = Commands(project)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]

    with project.start("--metrics-bind", f"127.0.0.1:{port}"):
        wait_until(lambda: len(run.rows("heartbeat", "recent")) >= 2)
        wait_until(lambda: _judged(run)[:2] == (True, True))
        wait_until(lambda: _healthz(port)[0] == 200)

        run("queues", "pause", "default")
        status, facts = wait_until(lambda: (answer := _healthz(port))[0] == 503 and answer)
        assert (status, facts["healthy"], facts["heartbeat_within"]) == (503, False, 2.0)
        assert facts["last_heartbeat"] is not None
        wait_until(lambda: _judged(run)[:2] == (False, False), what="the gap lasts")

        run("queues", "resume", "default")
        wait_until(lambda: _healthz(port)[0] == 200, what="healthy again")
        wait_until(lambda: _judged(run)[:2] == (True, True))
        assert _judged(run)[2] >= 1, "the gap stays in the log"

    gaps = run.json("heartbeat", "gaps", "--every", "1s", "--since", "1h", status=1)
    assert gaps[0]["missed"] >= 1
    hosts = {beat["hostname"] for beat in run.json("heartbeat", "recent", "-n", "100")}
    assert hosts == {socket.gethostname()}
    assert len(run.json("heartbeat", "by-host", socket.gethostname(), "-n", "100")) >= 3
    assert run.json("heartbeat", "by-host", "elsewhere") == []


def _judged(run: Commands) -> tuple[bool, bool, int]:
    """Return what `verify` and `health` say, and how many gaps longer than 1.5 s there were."""
    verified = run("heartbeat", "verify", "--within", "2500ms").returncode == 0
    health = run("health", "--within", "2500ms")
    healthy: bool = json.loads(health.stdout)["healthy"]
    assert health.returncode == (0 if healthy else 1)
    gaps = run("heartbeat", "gaps", "--every", "1500ms", "--since", "1h")
    assert gaps.returncode == (1 if gaps.stdout else 0)
    return verified, healthy, len(gaps.stdout.splitlines())
