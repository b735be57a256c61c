"""Whatever is told comes out as one line, with all that is known."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from jobsd.events.events import emit
from jobsd.jobs.current import CurrentJob, running

if TYPE_CHECKING:
    from logs.readable_log import Log


def _raise() -> None:
    raise ValueError("no way")


def _fail() -> ValueError:
    try:
        _raise()
    except ValueError as error:
        return error
    raise AssertionError


def test_an_event_is_one_object_with_its_time_name_and_process(log: Log) -> None:
    emit("job.released", job_id=7)

    line = log.line()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "job.released",
        "logger": "jobsd",
        "pid": os.getpid(),
        "process_kind": "worker",
        "process_name": "worker-1",
        "hostname": os.uname().nodename,
        "job_id": 7,
    }


def test_the_time_is_utc(log: Log) -> None:
    emit("job.released")

    reported = datetime.fromisoformat(log.line()["timestamp"])
    assert abs(datetime.now(UTC) - reported) < timedelta(seconds=5)


def test_an_event_below_the_level_is_not_logged(log: Log) -> None:
    emit("job.finished", job_id=7)

    assert log.text() == ""


def test_at_level_debug_everything_is_logged(log: Log) -> None:
    log.configure(level="debug")

    emit("job.finished", job_id=7)

    assert log.line()["level"] == "debug"


def test_an_exception_becomes_type_message_and_stack(log: Log) -> None:
    emit("job.failed", error=_fail())

    error = log.line()["error"]
    assert (error["type"], error["message"]) == ("ValueError", "no way")
    assert error["stack"].startswith("Traceback")
    assert error["stack"].endswith("ValueError: no way\n")


def test_an_error_that_is_a_text_becomes_its_message(log: Log) -> None:
    emit("database.unavailable", error="connection refused")

    assert log.line()["error"] == {"type": "", "message": "connection refused", "stack": ""}


def test_a_deep_recursion_is_logged_by_its_last_frames(log: Log) -> None:
    def dig(depth: int) -> None:
        dug(depth) if depth % 2 else dig(depth + 1)

    def dug(depth: int) -> None:
        dig(depth + 1)

    try:
        dig(0)
    except RecursionError as error:
        emit("job.failed", error=error)

    assert log.line()["error"]["type"] == "RecursionError"


def test_the_process_of_an_event_does_not_hide_the_logging_process(log: Log) -> None:
    emit("process.exited", pid=1, kind="worker")

    line = log.line()
    assert (line["pid"], line["its_pid"]) == (os.getpid(), 1)


def test_a_line_logged_by_a_job_through_logging_has_its_id(log: Log) -> None:
    with running(CurrentJob(42, 2, "mail", "app.welcome")):
        logging.getLogger("app").info("sent %d", 3)

    line = log.line()
    assert (line["event"], line["logger"], line["level"]) == ("sent 3", "app", "info")
    assert (line["job_id"], line["class_name"]) == (42, "app.welcome")
    assert (line["queue_name"], line["attempt"]) == ("mail", 2)


def test_a_line_logged_by_a_job_through_structlog_has_its_id(log: Log) -> None:
    with running(CurrentJob(42, 2, "mail", "app.welcome")):
        structlog.get_logger("app").warning("sent", count=3)

    line = log.line()
    assert (line["event"], line["logger"], line["level"]) == ("sent", "app", "warning")
    assert (line["job_id"], line["count"]) == (42, 3)


def test_after_the_job_its_id_is_not_logged_any_more(log: Log) -> None:
    with running(CurrentJob(42, 1, "mail", "app.welcome")):
        pass

    logging.getLogger("app").warning("later")

    assert "job_id" not in log.line()


def test_each_thread_has_its_own_job(log: Log) -> None:
    here = threading.Barrier(2, timeout=5)

    def run(job_id: int) -> None:
        with running(CurrentJob(job_id, 1, "mail", "app.welcome")):
            here.wait()
            logging.getLogger("app").info("job %d", job_id)

    threads = [threading.Thread(target=run, args=(job_id,)) for job_id in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {line["event"]: line["job_id"] for line in log.lines()} == {"job 1": 1, "job 2": 2}


def test_the_heartbeat_is_the_value_of_event(log: Log) -> None:
    beat = (
        '{"timestamp":"2025-01-20T12:05:00Z","message":"Heartbeat job executed successfully"}'
    )

    logging.getLogger("jobsd.heartbeat").info("[HEARTBEAT] %s", beat)

    line = log.line()
    assert line["level"] == "info"
    assert line["event"] == f"[HEARTBEAT] {beat}"
    assert json.loads(line["event"].removeprefix("[HEARTBEAT] "))["timestamp"]


def test_an_exception_logged_through_logging_has_its_stack(log: Log) -> None:
    try:
        _raise()
    except ValueError:
        logging.getLogger("app").exception("it failed")

    assert log.line()["error"]["message"] == "no way"


def test_an_exception_logged_through_structlog_has_its_stack(log: Log) -> None:
    try:
        _raise()
    except ValueError:
        structlog.get_logger().exception("it failed")

    line = log.line()
    assert (line["level"], line["error"]["message"]) == ("error", "no way")


def test_the_extra_of_logging_is_logged_too(log: Log) -> None:
    logging.getLogger("app").info("sent", extra={"tenant": "a"})

    assert log.line()["tenant"] == "a"


def test_a_bound_logger_follows_a_change_of_the_log(log: Log) -> None:
    logger = structlog.get_logger("app").bind()
    log.configure()

    logger.info("still here")

    assert log.line()["event"] == "still here"


def test_configuring_twice_logs_everything_once(log: Log) -> None:
    log.configure()

    emit("job.released")
    logging.getLogger("app").info("once")

    assert [line["event"] for line in log.lines()] == ["job.released", "once"]


def test_for_people_a_line_begins_with_date_and_time(log: Log) -> None:
    log.configure("console")

    emit("job.failed", job_id=7, error=_fail(), queue_name="two words")

    first, *stack = log.text().splitlines()
    now = datetime.now().astimezone()
    moment = datetime.fromisoformat(" ".join(first.split(" ")[:2])).astimezone()
    assert abs(now - moment) < timedelta(seconds=5)
    assert first.split(" ", 2)[2] == (
        'error   job.failed job_id=7 error="ValueError: no way" queue_name="two words"'
        f" logger=jobsd by=worker[{os.getpid()}]"
    )
    assert stack[-1] == "    ValueError: no way"


def test_for_people_no_text_begins_a_line_or_steers_the_terminal(log: Log) -> None:
    log.configure("console")

    logging.getLogger("app").info("one\ntwo\x1b[2J", extra={"key": "a\nb\x9b"})

    assert log.text().count("\n") == 1
    log.configure("console")
    logging.getLogger("app").info("one\x1b[2J")
    assert "\x1b" not in log.text()


def test_without_a_format_a_pipe_gets_json(log: Log) -> None:
    log.configure(None)

    emit("job.released")

    assert log.line()["event"] == "job.released"


def test_importing_the_logs_sets_nothing_up() -> None:
    program = (
        "import logging\n"
        "import jobsd.logs.logs\n"
        "import structlog\n"
        "assert not logging.getLogger().handlers\n"
        "assert not structlog.is_configured()\n"
    )

    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")
