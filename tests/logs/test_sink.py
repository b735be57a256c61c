"""A log that can't be written costs its writer next to nothing."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import socket
import tempfile
import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.events.events import emit
from jobsd.logs.sink import LINE_BYTES, PIPE_LINE_BYTES, Sink, journal_reads
from waiting import Stopwatch

if TYPE_CHECKING:
    from pathlib import Path

    from logs.readable_log import Log


def _fill(log: Log) -> None:
    os.set_blocking(log.writer, False)
    try:
        while True:
            os.write(log.writer, b"x" * 4095 + b"\n")
    except BlockingIOError:
        os.set_blocking(log.writer, True)


@pytest.mark.failure(
    "The log is not read any more, and its pipe is full.",
    "One line waits a fifth of a second, the others are dropped and counted; work continues.",
)
def test_a_full_pipe_costs_one_line_a_fifth_of_a_second_and_the_next_ones_nothing(
    log: Log,
) -> None:
    _fill(log)

    watch = Stopwatch()
    emit("job.released")
    first = watch.took()
    watch = Stopwatch()
    for _ in range(100):
        emit("job.released")
    rest = watch.took()

    assert 0.15 < first < 5
    assert rest < 100 * 0.15
    assert log.dropped == 101


def test_once_a_sink_has_blocked_no_line_waits_for_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(log)
    emit("job.released")
    # From now on a line that waits at all waits for as long as the test does.
    monkeypatch.setattr("jobsd.logs.sink.WAIT_S", 3600.0)

    def emit_often() -> None:
        for _ in range(100):
            emit("job.released")

    thread = threading.Thread(target=emit_often, daemon=True)
    thread.start()
    thread.join(20.0)

    assert not thread.is_alive()
    assert log.dropped == 101


def test_lines_lost_by_a_full_log_are_counted_in_a_later_line(log: Log) -> None:
    _fill(log)
    emit("job.released")
    emit("job.released")
    log.text()

    emit("supervisor.ready")

    ready, lost = log.lines()
    assert ready["event"] == "supervisor.ready"
    assert (lost["event"], lost["lines"]) == ("logs.dropped", 2)


def test_a_reader_that_is_slow_for_a_moment_loses_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A moment is what the machine makes of it; how long a line waits was measured above.
    monkeypatch.setattr("jobsd.logs.sink.WAIT_S", 20.0)
    _fill(log)
    texts: list[str] = []
    reader = threading.Timer(0.05, lambda: texts.append(log.text()))
    reader.start()

    emit("supervisor.ready")
    reader.join()

    assert log.dropped == 0
    assert "supervisor.ready" in "".join(texts) + log.text()


def test_a_reader_that_has_gone_is_counted_and_survived() -> None:
    reader, writer = os.pipe()
    lost: list[int] = []
    sink = Sink(writer, lost.append)
    os.close(reader)

    assert sink.write(b"line\n") is False
    assert lost == [1]
    sink.close()
    os.close(writer)


@pytest.mark.failure(
    "The disk of the log is full.",
    "Lines are dropped and counted; work continues.",
)
def test_a_full_disk_is_counted_and_survived() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    lost: list[int] = []
    sink = Sink(full, lost.append)

    assert sink.write(b"line\n") is False
    assert lost == [1]
    sink.close()
    os.close(full)


def test_a_line_torn_by_a_full_disk_spoils_no_later_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sink, other = Sink(fd, lambda _: None), Sink(fd, lambda _: None)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, limit[1]))
    try:
        assert [sink.write(b"0123456789\n"), sink.write(b"torn\n"), other.write(b"-\n")] == [
            True,
            False,
            False,
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert other.write(b"whole\n")

    assert path.read_text(encoding="ascii") == "0123456789\nt\nwhole\n"
    sink.close()
    other.close()
    os.close(fd)


def test_a_descriptor_that_is_not_open_is_survived() -> None:
    lost: list[int] = []

    Sink(999, lost.append).write(b"line\n")

    assert lost == [1]


def test_the_descriptor_of_others_is_left_as_it_was(log: Log) -> None:
    emit("job.released")

    assert os.get_blocking(log.writer) is True


def test_a_closed_sink_writes_nowhere() -> None:
    reader, writer = os.pipe()
    sink = Sink(writer, lambda _: None)
    sink.close()

    assert sink.write(b"line\n") is False
    os.close(reader)
    os.close(writer)


def test_a_socket_takes_lines_and_may_be_full() -> None:
    ours, theirs = socket.socketpair()
    lost: list[int] = []
    with ours, theirs:
        sink = Sink(ours.fileno(), lost.append)
        assert sink.write(b"line\n") is True
        assert theirs.recv(100) == b"line\n"

        while sink.write(b"x" * 4095 + b"\n"):
            continue

        assert lost == [1]
        sink.close()


def test_a_stopped_terminal_tears_at_most_one_line() -> None:
    main, terminal = pty.openpty()
    lost: list[int] = []
    sink = Sink(terminal, lost.append)
    while sink.write(b"x" * 999 + b"\n"):
        continue
    os.set_blocking(main, False)
    read = b""
    while sink.write(b"after\n") is False:
        read += os.read(main, 65536)
    try:
        while True:
            read += os.read(main, 65536)
    except BlockingIOError:
        pass

    assert read.endswith(b"\r\nafter\r\n")
    sink.close()
    os.close(main)
    os.close(terminal)


def test_a_file_takes_longer_lines_than_a_pipe(tmp_path: Path, log: Log) -> None:
    with (tmp_path / "log").open("wb") as file:
        long = Sink(file.fileno(), lambda _: None).line_bytes

    short = Sink(log.writer, lambda _: None)
    assert (long, short.line_bytes) == (LINE_BYTES, PIPE_LINE_BYTES)
    short.close()


def test_the_journal_is_known_by_device_and_inode() -> None:
    with tempfile.TemporaryFile() as file:
        status = os.fstat(file.fileno())
        ours = f"{status.st_dev}:{status.st_ino}"

        assert journal_reads(file.fileno(), ours) is True
        assert journal_reads(file.fileno(), "1:2") is False
        assert journal_reads(file.fileno(), None) is False


def test_a_pipe_gets_lines_that_it_takes_whole_to_the_last_byte(log: Log) -> None:
    lengths: list[int] = []
    for size in range(3500, 4200):
        emit("configuration.warning", warning="x" * size)
        lengths.append(len(log.text()))

    assert max(lengths) == PIPE_LINE_BYTES
    assert PIPE_LINE_BYTES <= select.PIPE_BUF


def test_lines_of_several_processes_are_never_torn(log: Log) -> None:
    children: list[int] = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            sink = Sink(log.writer, lambda _: None)
            for _ in range(300):
                body = str(number) * 4000
                while not sink.write(json.dumps({"body": body}).encode() + b"\n"):
                    continue
            os._exit(0)
        children.append(pid)

    bodies: list[str] = []
    text = ""
    os.set_blocking(log.reader, True)
    while len(bodies) < 900:
        *whole, text = (text + os.read(log.reader, 65536).decode()).split("\n")
        bodies += [json.loads(line)["body"] for line in whole]
    for pid in children:
        os.waitpid(pid, 0)

    assert {body for body in bodies if len(set(body)) > 1 or len(body) != 4000} == set()
