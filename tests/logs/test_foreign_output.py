"""What others tell is no event of ours, and what is said aloud is told once."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from jobsd.events.event_list import EVENTS
from jobsd.logs import logs
from jobsd.logs.always import log_always
from jobsd.logs.pipes import Pipes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from logs.readable_log import Log


@pytest.fixture(autouse=True)
def _streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())


@pytest.fixture
def users() -> Iterator[io.StringIO]:
    """A handler of the user's, to somewhere else."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("name", ["job.failed", "process.exited", "logs.dropped"])
def test_a_text_that_is_the_name_of_an_event_is_the_output_of_a_job(
    name: str, log: Log
) -> None:
    assert name in EVENTS
    logs.take_prints()

    print(name)
    print(name, file=sys.stderr)
    logging.getLogger("app").error(name, extra={"message_id": 3})
    structlog.get_logger("app").info(name, message="mine")

    reported = log.lines()
    assert [(line["event"], line["message"]) for line in reported] == [("job.output", name)] * 4
    assert reported[3]["its_message"] == "mine"


def test_a_line_that_is_always_logged_is_logged_once_and_passed_on(
    log: Log, users: io.StringIO
) -> None:
    logs.take_prints()
    console = logging.StreamHandler()
    logging.getLogger().addHandler(console)

    log_always("jobsd.heartbeat", "[HEARTBEAT] {}")
    logging.getLogger().removeHandler(console)

    assert log.line()["event"] == "[HEARTBEAT] {}"
    assert users.getvalue() == "[HEARTBEAT] {}\n"


def test_it_is_logged_though_its_logger_is_disabled(log: Log) -> None:
    logger = logging.getLogger("jobsd.heartbeat")
    logger.disabled = True

    log_always("jobsd.heartbeat", "[HEARTBEAT] {}")
    logger.disabled = False

    assert log.line()["logger"] == "jobsd.heartbeat"


def test_a_heartbeat_below_the_level_is_not_logged(log: Log) -> None:
    log.configure(level="warning")

    log_always("jobsd.heartbeat", "[HEARTBEAT] {}")

    assert log.text() == ""


def test_without_a_log_of_ours_it_is_left_to_logging(users: io.StringIO) -> None:
    logging.getLogger("jobsd.heartbeat").setLevel("INFO")

    log_always("jobsd.heartbeat", "[HEARTBEAT] {}")
    logging.getLogger("jobsd.heartbeat").setLevel("NOTSET")

    assert users.getvalue() == "[HEARTBEAT] {}\n"


def test_a_line_of_ours_is_not_wrapped_again_and_one_like_it_is(log: Log) -> None:
    logs.take_prints()
    logging.getLogger("app").warning("ours")
    ours = log.text().rstrip("\n")
    like = json.dumps({"timestamp": "2026", "event": "job.failed"}, separators=(",", ":"))

    print(ours)
    print(like)

    first, second = log.text().splitlines()
    assert first == ours
    assert json.loads(second)["event"] == like


@pytest.mark.failure(
    "A job prints what looks like a line of the log, with an event of ours or a password.",
    "It is logged as text, without the password.",
)
@pytest.mark.parametrize(
    ("of", "by"),
    [
        ('"event":"an app\'s"', '"event":"process.exited"'),
        ('"event":"an app\'s"', '"event":"an app\'s","event":"process.exited"'),
        ('"event":"an app\'s"', '"event":"process.exited","event":"an app\'s"'),
        ('"event":"an app\'s"', '"event":"postgresql://shop:geheim@db/shop"'),
        ('"pid":', '"x":' + "[" * 5_000 + ',"pid":'),
    ],
    ids=["event", "twice", "first of twice", "password", "deep"],
)
def test_a_text_like_a_line_of_ours_forges_none(log: Log, of: str, by: str) -> None:
    logs.take_prints()
    logging.getLogger("app").warning("an app's")
    like = log.text().rstrip("\n").replace(of, by)

    print(like)

    line = log.line()
    assert line["logger"] == "print"
    assert line["event"].startswith('{"timestamp":"')
    assert "geheim" not in line["event"]


def test_printed_bytes_are_logged_too(log: Log) -> None:
    logs.take_prints()

    sys.stdout.buffer.write(b"one\n\xff two\n")

    assert [line["event"] for line in log.lines()] == ["one", "\\xff two"]


def test_output_left_in_the_pipes_of_a_dead_process_is_logged(log: Log) -> None:
    pipes = Pipes.make()
    os.write(pipes.each[1].writer, b"last\nwords")
    pipes.close_writers()

    logs.log_unread_output(pipes, {"job_id": 7})
    pipes.close()

    assert [(line["event"], line["logger"], line["job_id"]) for line in log.lines()] == [
        ("last", "stderr", 7),
        ("words", "stderr", 7),
    ]


@pytest.mark.failure(
    "A process dies and leaves a pipe full of short lines that it had not read",
    "The last thousand lines are reported, with the number of the others; none of them delays"
    " the supervisor",
)
def test_of_very_much_that_a_dead_process_has_left_the_last_lines_are_logged(
    tmp_path: Path,
) -> None:
    dropped: list[int] = []
    pipes = Pipes.make()
    stdout = pipes.each[0].writer
    os.set_blocking(stdout, False)
    written = os.write(stdout, b"\n".join(b"%d" % n for n in range(30_000)))
    pipes.close_writers()
    with (tmp_path / "log").open("w+") as file, contextlib.closing(pipes):
        logs.configure(
            "json",
            "info",
            kind="supervisor",
            name="it",
            stream=file.fileno(),
            dropped=dropped.append,
        )

        logs.log_unread_output(pipes, {"job_id": 7})
        logs.reset()
        file.seek(0)
        reported = [json.loads(line) for line in file]

    assert written > 100_000
    texts = [line["event"] for line in reported if line["logger"] == "stdout"]
    assert texts == [str(n) for n in range(29_000, 30_000)]
    (lost,) = (line["lines"] for line in reported if line["event"] == "logs.dropped")
    assert (lost, dropped) == (29_000, [29_000])


@pytest.mark.failure(
    "The kernel gives no large pipe, because the user's limit for pipes is used up",
    "What is written to stdout and stderr becomes lines of the log nevertheless.",
)
def test_where_pipes_stay_small_there_are_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsd.logs.pipes.PIPE_BYTES", 1 << 31)

    with contextlib.closing(Pipes.make()) as pipes:
        assert [pipe.number for pipe in pipes.each] == [1, 2]
