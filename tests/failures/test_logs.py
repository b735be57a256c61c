"""A log that takes nothing costs its lines, which are counted, and nothing else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from failures.asking import finished
from failures.wrapped import free_address, full_disk, metric, wrapped
from system.jobs import enqueue, enqueue_many
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

DROPPED = "jobsd_log_lines_dropped_total"
ROWS = "SELECT count(*) FROM jobsd.processes"


def _lost(lines: list[str]) -> int:
    """Return how many lines the log says that it has lost."""
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return sum(event["lines"] for event in events if event["event"] == "logs.dropped")


@pytest.mark.failure(
    "the disk on which the log lies is full",
    "jobs and loops go on; the lines are dropped and counted in"
    " `jobsd_log_lines_dropped_total`; once there is room again the log says how many, and"
    " the lines from then on are whole",
)
def test_a_full_disk_for_the_log_costs_only_lines(
    project: Project, query: Query, tmp_path: Path
) -> None:
    bind = free_address()
    with full_disk(tmp_path / "logs", bytes_left=4096) as folder:
        log = folder / "log"
        into_the_log = {"JOBSD_LOG_FILE": "logs/log"}
        with wrapped(project, [], JOBSD_METRICS_BIND=bind, **into_the_log) as tree:
            wait_until(lambda: query(ROWS) == [(4,)])
            tree.children("worker")[0].kill()
            enqueue(query, "say", "x" * 500, 50)
            finished(query, 1)
            dropped = wait_until(lambda: metric(bind, DROPPED))
            assert dropped >= 40

            (folder / "ballast").unlink()
            full = log.stat().st_size
            enqueue(query, "say", "there is room")
            wait_until(lambda: _lost(_whole(log)) >= 40, what=log.read_text(encoding="utf-8"))

            assert tree.terminate() < 2
            tree.assert_clean_exit()
            after = log.read_bytes()[full:].decode().splitlines()
            assert [line for line in after[1:] if line and not line.startswith("{")] == []
            assert any("there is room" in line for line in after)


def _whole(log: Path) -> list[str]:
    lines = log.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("{") and line.endswith("}")]


@pytest.mark.failure(
    "the log goes into a pipe that nobody reads",
    "a line waits a fifth of a second, those behind it not at all; jobs, deaths and the end"
    " of the tree go on; the lines are dropped, counted and reported",
)
def test_a_pipe_without_reads_costs_only_lines(project: Project, query: Query) -> None:
    bind = free_address()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    into_the_pipe = ["sh", "-c", f'exec "$@" >/proc/{os.getpid()}/fd/{writer} 2>&1', "sh"]
    with wrapped(project, into_the_pipe, JOBSD_METRICS_BIND=bind) as tree:
        wait_until(lambda: query(ROWS) == [(4,)])
        tree.children("worker")[0].kill()
        enqueue(query, "say", "x" * 1000, 200)
        enqueue_many(query, "quick", [(n,) for n in range(50)])
        finished(query, 51)
        wait_until(lambda: metric(bind, DROPPED) > 50)

        read = _read_all(reader)
        enqueue(query, "say", "somebody reads")
        wait_until(lambda: "somebody reads" in read.extend(_read_all(reader)).text)
        wait_until(lambda: _lost(read.extend(_read_all(reader)).text.splitlines()) >= 50)

        assert tree.terminate() < 2
        tree.assert_clean_exit()
    os.close(reader)
    os.close(writer)


@pytest.mark.failure(
    "the reader of the log has ended (EPIPE)",
    "the same: only the log stops",
)
def test_a_log_with_a_closed_pipe_stops_no_process(project: Project, query: Query) -> None:
    bind = free_address()
    reader, writer = os.pipe()
    into_the_pipe = ["sh", "-c", f'exec "$@" >/proc/{os.getpid()}/fd/{writer} 2>&1', "sh"]
    with wrapped(project, into_the_pipe, JOBSD_METRICS_BIND=bind) as tree:
        wait_until(lambda: query(ROWS) == [(4,)])
        os.close(reader)
        tree.children("worker")[0].kill()
        enqueue(query, "say", "into the void", 20)
        finished(query, 1)
        wait_until(lambda: metric(bind, DROPPED) >= 20)

        assert tree.terminate() < 2
        tree.assert_clean_exit()
    os.close(writer)


class _Read:
    """What has come out of a pipe so far."""

    def __init__(self, text: str) -> None:
        self.text = text

    def extend(self, more: _Read) -> _Read:
        self.text += more.text
        return self


def _read_all(reader: int) -> _Read:
    chunks: list[bytes] = []
    try:
        while chunk := os.read(reader, 65536):
            chunks.append(chunk)
    except BlockingIOError:
        pass
    return _Read(b"".join(chunks).decode())
