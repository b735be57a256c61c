"""The alert rules do what they say: by promtool's unit tests, and in a real Prometheus."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from harness.tree import ENDS_WITH_US
from jobsd.heartbeat.log import record
from jobsd.metrics.metrics import exposition
from jobsd.operations.gauges import database_figures
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.tree_figures import tree_figures
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target

SHIPPED = Path(__file__).parents[2] / "packaging" / "prometheus"
RULES = (SHIPPED / "jobsd.rules.yml").read_text(encoding="utf-8")

CONFIGURATION = """
global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}
rule_files: [jobsd.rules.yml]
scrape_configs:
  - job_name: jobsd
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

QUEUE = """
dispatchers: []
workers: [{threads: 1}]
scheduler: {}
supervisor: {heartbeat_interval: 1}
"""


def _required(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} (Debian's package prometheus) is not installed")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _promtool(*arguments: str) -> None:
    done = subprocess.run(
        [_required("promtool"), *arguments],
        cwd=SHIPPED,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_and_the_example_are_well_formed() -> None:
    _promtool("check", "rules", "--lint-fatal", "jobsd.rules.yml")
    _promtool("check", "config", "--lint-fatal", "prometheus.yml")


def test_each_rule_fires_and_clears_in_its_unit_test() -> None:
    _promtool("test", "rules", "jobsd.rules.test.yml")

    tested = (SHIPPED / "jobsd.rules.test.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"alert: (\w+)", RULES)) == set(
        re.findall(r"alertname: (\w+)\n +exp_alerts", tested)
    )


def test_the_rules_ask_for_metrics_that_there_are(session: Session) -> None:
    record(session, "test", "web-1")
    scoreboard = Scoreboard()
    scoreboard.database_up = 1
    with_a_target = replace(database_figures(session), desired_workers={})
    body, _ = exposition(tree_figures(scoreboard), with_a_target)
    named = set(re.findall(r"^# TYPE (\w+)", body.decode(), re.MULTILINE))

    assert set(re.findall(r"\bjobsd_\w+", RULES)) <= named


class Prometheus:
    """A Prometheus of our own, which scrapes four times a second."""

    def __init__(self, port: int) -> None:
        self._port = port

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        # While it reads its files it answers with 503, or not at all.
        with (
            contextlib.closing(connection),
            contextlib.suppress(ConnectionError, TimeoutError),
        ):
            connection.request("GET", "/api/v1/alerts")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                alerts = json.load(answer)["data"]["alerts"]
                return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}
        return {"Prometheus is not up yet"}


@pytest.fixture
def metrics_port() -> int:
    return _free_port()


@pytest.fixture
def prometheus(tmp_path: Path, metrics_port: int) -> Iterator[Prometheus]:
    """A Prometheus with the shipped rules, for which minutes are seconds."""
    program, port = _required("prometheus"), _free_port()
    quick = RULES.replace("> 600", "> 3").replace("for: 2m", "for: 1s")
    (tmp_path / "jobsd.rules.yml").write_text(quick)
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(port=metrics_port))
    with (
        (tmp_path / "prometheus.log").open("w") as log,
        subprocess.Popen(
            [
                *ENDS_WITH_US,
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            yield Prometheus(port)
        finally:
            process.kill()


def _wait_firing(prometheus: Prometheus, alerts: set[str]) -> None:
    """Wait until these alerts fire and no others; a busy machine may take its time."""
    wait_until(lambda: prometheus.firing() == alerts, 90, lambda: str(prometheus.firing()))


def test_the_alert_fires_when_heartbeats_stop_and_clears_when_they_return(
    tmp_path: Path, target: Target, prometheus: Prometheus, metrics_port: int
) -> None:
    project = Project(tmp_path / "project", target.url)
    project.write("config/queue.yml", QUEUE)
    task = ("beat", "--class", "HeartbeatJob", "--schedule", "every second")
    assert project.run("recurring", "add", *task).returncode == 0

    bind = f"127.0.0.1:{metrics_port}"
    with project.start("--metrics-bind", bind, JOBSD_METRICS_BIND=bind) as tree:
        _wait_firing(prometheus, set())

        assert project.run("recurring", "disable", "beat").returncode == 0
        _wait_firing(prometheus, {"JobsdHeartbeatMissing"})

        assert project.run("recurring", "enable", "beat").returncode == 0
        _wait_firing(prometheus, set())

        tree.process.kill()
        _wait_firing(prometheus, {"JobsdDown", "JobsdHeartbeatMissing"})
