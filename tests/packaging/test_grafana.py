"""The dashboard shows every metric, and each of its queries answers in a real Prometheus.

So do the queries by which KEDA and prometheus-adapter find out how many workers are needed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import pytest
import yaml
from prometheus_client.openmetrics import parser

from harness.tree import ENDS_WITH_US
from jobsd.metrics.metrics import exposition
from metrics.grafana_dashboard import DASHBOARD, ROWS, text
from metrics.test_metrics import DATABASE, NAMES, TREE
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

KUBERNETES = Path(__file__).parents[2] / "packaging/kubernetes"
QUERIES = [query for row in ROWS.values() for panel in row for query in panel.queries]
STEP_S, STEPS = 15, 60
_SHAPE = re.compile(r"jobsd_\w+")

_parse = cast(
    "Callable[[str], Iterator[Metric]]",
    parser.text_string_to_metric_families,  # pyright: ignore[reportUnknownMemberType]
)


def test_the_dashboard_matches_its_table() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == text()


def test_the_dashboard_shows_every_metric() -> None:
    shown = {
        re.sub(r"_(total|bucket)$", "", name)
        for query in QUERIES
        for name in _SHAPE.findall(query)
    }

    assert shown == NAMES


def recorded(ends_at: int) -> str:
    """Return a quarter of an hour of a load: all that counts has grown steadily."""
    body, _ = exposition(TREE, DATABASE, openmetrics=True)
    lines: list[str] = []
    for family in _parse(body.decode()):
        grows = family.type in {"counter", "histogram"}
        for sample in family.samples:
            labels = ",".join(
                f"{name}={json.dumps(value)}" for name, value in sample.labels.items()
            )
            for step in range(STEPS):
                value = sample.value * (step + 1 if grows else 1)
                at = ends_at - (STEPS - 1 - step) * STEP_S
                lines.append(f"{sample.name}{{{labels}}} {value} {at}\n")
    return "".join(lines) + "# EOF\n"


class Prometheus:
    """A Prometheus that has recorded the load and scrapes nothing."""

    def __init__(self, port: int, at: int) -> None:
        self._port = port
        self._at = at

    def is_up(self) -> bool:
        """Return whether it answers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._get("/-/ready")[0] == http.client.OK
        return False

    def answer(self, query: str) -> list[dict[str, Any]]:
        """Return the series that answer a query, as a panel sends it."""
        filled = query.replace("$queue", ".*").replace("$__rate_interval", "1m")
        asked = urlencode({"query": filled, "time": self._at})
        status, body = self._get(f"/api/v1/query?{asked}")
        assert status == http.client.OK, body
        found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return found

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("Debian's package prometheus is not installed")
    folder, ends_at = tmp_path_factory.mktemp("prometheus"), int(time.time()) - 60
    (folder / "load.txt").write_text(recorded(ends_at), encoding="utf-8")
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "load.txt", "tsdb"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [
                *(*ENDS_WITH_US, "prometheus", "--config.file=prometheus.yml"),
                *("--storage.tsdb.path=tsdb", f"--web.listen-address=127.0.0.1:{port}"),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        made = Prometheus(port, ends_at)
        try:
            wait_until(made.is_up, what="Prometheus is up")
            yield made
        finally:
            process.kill()


def test_each_query_of_the_dashboard_answers(prometheus: Prometheus) -> None:
    answers = {query: prometheus.answer(query) for query in QUERIES}

    assert [query for query, series in answers.items() if not series] == []
    wrong = {
        query
        for query, series in answers.items()
        if any(not math.isfinite(float(each["value"][1])) for each in series)
    }
    assert wrong == set()


def test_what_scales_workers_asks_for_the_figure_that_there_is(prometheus: Prometheus) -> None:
    keda, hpa, adapter = (
        yaml.safe_load((KUBERNETES / f"{name}.yml").read_text(encoding="utf-8"))
        for name in ("keda", "hpa", "prometheus-adapter")
    )
    (trigger,) = keda["spec"]["triggers"]
    (rule,) = adapter["externalRules"]
    (metric,) = hpa["spec"]["metrics"]
    asked = metric["external"]["metric"]
    assert asked["name"] == rule["name"]["as"]
    labels = ",".join(f'{k}="{v}"' for k, v in asked["selector"]["matchLabels"].items())
    filled = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"])
    filled = filled.replace("<<.LabelMatchers>>", labels)

    values = [
        [each["value"][1] for each in prometheus.answer(query)]
        for query in (trigger["metadata"]["query"], filled)
    ]

    assert values == [["3"], ["3"]]
    assert keda["spec"]["scaleTargetRef"]["name"] == hpa["spec"]["scaleTargetRef"]["name"]
