"""What a monitor says over HTTP, in good times and bad."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from jobsd.clock import monotonic, monotonic_ns
from jobsd.processes.slot import UP
from jobsd.supervisor import pages, rounds
from monitored_tree.options import heartbeat_task, make_options, with_dispatcher
from monitored_tree.server import own_server
from monitored_tree.tree import Tree, make_jobs, tree_on, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.configuration.options import Options
    from jobsd.database.connection import Session, Target
    from jobsd.processes.process import Context


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def tree(target: Target, listener: socket.socket) -> Iterator[Tree]:
    with tree_on(target) as tree:
        tree.start_monitor(listener)
        yield tree


def _ask(
    listener: socket.socket, path: str, accept: str = "*/*"
) -> tuple[int, str, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", _port(listener), timeout=10)
    connection.request("GET", path, headers={"Accept": accept})
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, body, reply


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def _facts(listener: socket.socket, path: str) -> tuple[int, dict[str, Any]]:
    status, body, reply = _ask(listener, path)
    assert reply.getheader("Content-Type") == "application/json"
    return status, json.loads(body)


def _metrics(listener: socket.socket) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    _, body, _ = _ask(listener, "/metrics")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def _beat(session: Session, age: str = "0") -> None:
    session.connection.execute(
        "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
        " VALUES (now() - %s::interval, 'test', 'here')",
        (age,),
    )


def _work(queue: str, count: int) -> Callable[[Context, Session], None]:
    def work(context: Context, _: Session) -> None:
        counters = context.slot.queue(queue)
        counters.count("finished", count)
        counters.observe(waited_s=0.01, ran_s=0.2)
        context.slot.count_dropped_lines(1)

    return work


def test_metrics_tell_of_database_and_shared_memory(
    tree: Tree, listener: socket.socket, session: Session
) -> None:
    jobs = make_jobs(session, 3, queue_name="mail")
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
        " SELECT id, id, 0, 'mail' FROM unnest(%s::bigint[]) AS id",
        (jobs,),
    )
    tree.start_worker(live=_work("mail", 5))

    found = _metrics(listener)

    assert found["jobsd_queue_jobs", (("queue", "mail"), ("state", "ready"))] == 3
    assert found["jobsd_jobs_total", (("outcome", "finished"), ("queue", "mail"))] == 5
    assert found["jobsd_job_duration_seconds_count", (("queue", "mail"),)] == 1
    assert found["jobsd_processes", (("kind", "worker"),)] == 1
    assert found["jobsd_worker_threads", (("state", "idle"),)] == 3
    assert found["jobsd_database_up", ()] == 1


def test_metrics_are_clean_by_promtools_judgement(tree: Tree, listener: socket.socket) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    tree.start_worker(live=_work("mail", 5))
    _, body, _ = _ask(listener, "/metrics")

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=body.encode(), capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_openmetrics_is_given_to_who_asks_for_it(tree: Tree, listener: socket.socket) -> None:
    tree.start_worker(live=_work("mail", 5))

    _, body, reply = _ask(listener, "/metrics", "application/openmetrics-text;version=1.0.0")

    parse = cast(
        "Callable[[str], Any]",
        openmetrics_parser.text_string_to_metric_families,  # pyright: ignore[reportUnknownMemberType]
    )
    assert {"jobsd_jobs", "jobsd_build"} <= {family.name for family in parse(body)}
    assert (reply.getheader("Content-Type") or "").startswith("application/openmetrics-text")


def test_counters_never_go_back_whoever_is_replaced(
    target: Target, listener: socket.socket
) -> None:
    finished = ("jobsd_jobs_total", (("outcome", "finished"), ("queue", "mail")))
    dropped = ("jobsd_log_lines_dropped_total", ())
    seen: list[tuple[float, float]] = []
    with tree_on(target) as tree:
        monitor = tree.start_monitor(listener)
        for _ in range(3):
            worker = tree.start_worker(live=_work("mail", 5))
            found = _metrics(listener)
            seen.append((found[finished], found[dropped]))
            tree.destroy(worker, monitor)
            tree.kill(monitor)
            tree.reap(monitor)
            monitor = tree.start_monitor(listener)
            found = _metrics(listener)
            seen.append((found[finished], found[dropped]))

    assert seen == [(5, 1), (5, 1), (10, 2), (10, 2), (15, 3), (15, 3)]


def test_a_tree_is_alive_while_its_supervisor_comes_round(
    tree: Tree, listener: socket.socket
) -> None:
    assert _facts(listener, "/livez")[0] == 200

    tree.board.ticked_ns = monotonic_ns() - 60 * 10**9

    status, facts = _facts(listener, "/livez")
    assert (status, facts["alive"]) == (503, False)
    assert facts["supervisor_loop_age"] >= 60


def test_a_tree_is_ready_once_all_configured_processes_are_up(
    target: Target, listener: socket.socket
) -> None:
    with tree_on(target, with_dispatcher(make_options(target))) as tree:
        tree.board.ready = 1
        tree.start_monitor(listener)
        tree.start_worker()
        status, facts = _facts(listener, "/readyz")
        assert (status, facts["missing"]) == (503, {"dispatcher": 1})

        slot = tree.fork("dispatcher", _tick_for_ever)
        wait_until(lambda: slot.state == UP)

        assert _facts(listener, "/readyz")[0] == 200


def test_a_tree_that_stops_is_not_ready(tree: Tree, listener: socket.socket) -> None:
    tree.board.ready = 1
    tree.start_worker()
    assert _facts(listener, "/readyz")[0] == 200

    tree.board.stopping = 1

    assert _facts(listener, "/readyz")[0] == 503


def test_without_a_heartbeat_task_database_and_processes_are_the_judges(
    tree: Tree, listener: socket.socket
) -> None:
    status, facts = _facts(listener, "/healthz")
    assert (status, facts["healthy"], facts["last_heartbeat"]) == (503, False, None)

    tree.start_worker()

    status, facts = _facts(listener, "/healthz")
    assert (status, facts["healthy"]) == (200, True)


def _beating(target: Target, schedule: str = "every 5 minutes") -> Options:
    return replace(make_options(target), tasks=(heartbeat_task(schedule),))


@pytest.mark.parametrize(
    ("schedule", "minutes", "status"),
    [
        ("every 5 minutes", 9, 200),
        ("every 5 minutes", 11, 503),
        ("every hour", 110, 200),
        ("every hour", 130, 503),
    ],
)
def test_a_heartbeat_may_be_two_periods_old(
    request: pytest.FixtureRequest, target: Target, schedule: str, minutes: int, status: int
) -> None:
    listener = request.getfixturevalue("listener")
    _beat(request.getfixturevalue("session"), f"{minutes} minutes")
    with tree_on(target, _beating(target, schedule)) as tree:
        tree.board.started_us -= 86400 * 10**6
        tree.start_monitor(listener)

        answer, facts = _facts(listener, "/healthz")

    assert (answer, facts["healthy"]) == (status, status == 200)
    assert facts["last_heartbeat"].endswith("Z")


def test_a_tree_that_has_just_begun_is_given_time_for_its_first_heartbeat(
    target: Target, listener: socket.socket
) -> None:
    with tree_on(target, _beating(target)) as tree:
        tree.start_monitor(listener)
        assert _facts(listener, "/healthz")[0] == 200

        tree.board.started_us -= 601 * 10**6

        assert _facts(listener, "/healthz")[0] == 503


def test_a_new_heartbeat_is_seen_at_once(
    target: Target, listener: socket.socket, session: Session
) -> None:
    options = replace(
        _beating(target),
        supervisor=replace(make_options(target).supervisor, heartbeat_interval_s=60),
    )
    with tree_on(target, options) as tree:
        tree.start_monitor(listener)

        _beat(session)

        assert _facts(listener, "/healthz")[1]["last_heartbeat"] is not None


def test_a_frozen_database_holds_up_no_health_check_and_only_bounds_a_scrape(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The monitor inherits these: no need to wait for as long as in earnest.
    monkeypatch.setattr(pages, "FIGURES_AGE_S", 0.5)
    monkeypatch.setattr(rounds, "DEADLINE_S", 1.0)
    with own_server() as server:
        target = server.start()
        with tree_on(target, _beating(target)) as tree:
            tree.start_monitor(listener)
            tree.start_worker(live=_work("mail", 5))
            _metrics(listener)
            server.freeze()

            assert _seconds(listener, "/livez") < 0.1
            assert _seconds(listener, "/readyz") < 0.1
            assert _seconds(listener, "/healthz") < 0.1

            wait_until(lambda: not tree.board.database_up)
            gauge = ("jobsd_processes", (("kind", "worker"),))
            wait_until(lambda: gauge not in _metrics(listener))
            assert _seconds(listener, "/metrics") < 3
            found = _metrics(listener)
            assert found["jobsd_database_up", ()] == 0
            assert found["jobsd_jobs_total", (("outcome", "finished"), ("queue", "mail"))] == 5


def _seconds(listener: socket.socket, path: str) -> float:
    began = monotonic()
    _ask(listener, path)
    return monotonic() - began


def _tick_for_ever(context: Context) -> int:
    while True:
        context.slot.tick()
        context.nap.take(0.02)
        if context.stopping:
            return signal.SIGTERM
