"""Under systemd, lines go to the journal as entries whose fields nothing can forge."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
import structlog

from jobsd.events.bound_job import running_job
from jobsd.events.events import emit
from jobsd.logs import journal, logs, sink
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

ESCAPE = 'x\nJOBSD_EVENT=supervisor.ready\nPRIORITY=0\n"}\n'


class Job:
    """The job that runs here."""

    id, class_name, queue_name, attempt = 42, "app.mail", "mail", 2


class Journal:
    """A socket where the journal's would be, and a stdout that leads there."""

    def __init__(self, path: Path, stdout: IO[bytes]) -> None:
        self.path = path
        self.stdout = stdout
        self.dropped = 0
        self.listen()

    def listen(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(0)

    def close(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def configure(self, form: Any = "json") -> None:
        logs.configure(
            form,
            "info",
            kind="worker",
            name="worker-1",
            stream=self.stdout.fileno(),
            dropped=self.drop,
        )

    def drop(self, lines: int) -> None:
        self.dropped += lines

    def entries(self) -> list[dict[str, list[str]]]:
        """Return the entries that have come, each field with its values."""
        found: list[dict[str, list[str]]] = []
        while True:
            try:
                found.append(_parsed(self.socket.recv(1 << 20)))
            except BlockingIOError:
                return found

    def entry(self) -> dict[str, list[str]]:
        (entry,) = self.entries()
        return entry


def _parsed(data: bytes) -> dict[str, list[str]]:
    """Read an entry by the rules of systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    fields: dict[str, list[str]] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, is_short, value = line.partition(b"=")
        if not is_short:
            (size,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + size], data[9 + size :]
        fields.setdefault(name.decode(), []).append(value.decode())
    return fields


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryDirectory() as short:
        status = os.fstat(stdout.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(journal, "SOCKET", f"{short}/socket")
        made = Journal(Path(short) / "socket", stdout)
        made.configure()
        yield made
        logs.reset()
        made.close()


@pytest.fixture
def in_job() -> Iterator[None]:
    token = running_job.set(Job())
    yield
    running_job.reset(token)


def test_an_event_has_its_facts_as_fields_and_its_line_as_message(there: Journal) -> None:
    emit(
        "job.failed",
        job_id=7,
        class_name="app.mail",
        queue_name="mail",
        attempt=1,
        error=ValueError("no"),
    )

    entry = there.entry()
    line = json.loads(entry.pop("MESSAGE")[0])
    assert entry == {
        "PRIORITY": ["3"],
        "SYSLOG_IDENTIFIER": ["jobsd"],
        "JOBSD_EVENT": ["job.failed"],
        "JOBSD_JOB_ID": ["7"],
        "JOBSD_CLASS": ["app.mail"],
        "JOBSD_QUEUE": ["mail"],
        "JOBSD_ATTEMPT": ["1"],
        "JOBSD_PROCESS_KIND": ["worker"],
        "JOBSD_PROCESS_NAME": ["worker-1"],
    }
    assert (line["event"], line["error"]["message"]) == ("job.failed", "no")
    assert os.fstat(there.stdout.fileno()).st_size == 0, "nothing is written twice"


def test_an_event_of_many_jobs_is_found_by_each(there: Journal) -> None:
    emit("jobs.retried", size=3, job_ids=[1, 2, 3])

    entries = there.entries()
    assert [entry["JOBSD_JOB_ID"] for entry in entries] in ([["1", "2", "3"]], [])


@pytest.mark.usefixtures("in_job")
@pytest.mark.parametrize(
    "say",
    [
        lambda: logging.getLogger("app").warning(
            ESCAPE, extra={"job_id": 99, "queue_name": ESCAPE, "JOBSD_JOB_ID": "99"}
        ),
        lambda: structlog.get_logger("app").warning(ESCAPE, job_id=99, queue_name=ESCAPE),
        lambda: logging.getLogger("jobsd").warning("job.failed", extra={"event": "job.failed"}),
        lambda: structlog.get_logger("jobsd").warning("supervisor.ready", job_id=99),
    ],
)
def test_a_log_message_of_a_job_forges_no_field(there: Journal, say: Any) -> None:
    say()

    entry = there.entry()
    entry.pop("MESSAGE")
    assert entry == {
        "PRIORITY": ["4"],
        "SYSLOG_IDENTIFIER": ["jobsd"],
        "JOBSD_JOB_ID": ["42"],
        "JOBSD_CLASS": ["app.mail"],
        "JOBSD_QUEUE": ["mail"],
        "JOBSD_ATTEMPT": ["2"],
        "JOBSD_PROCESS_KIND": ["worker"],
        "JOBSD_PROCESS_NAME": ["worker-1"],
    }


@pytest.mark.usefixtures("in_job")
def test_a_printed_line_of_a_job_forges_no_field(there: Journal) -> None:
    logs.log_text(ESCAPE, "print")
    (printed,) = there.entries()
    # A line of the log that is printed again stays as it is, and is one job's all the same.
    again = json.dumps({**json.loads(printed["MESSAGE"][0]), "job_id": 99, "event": "mine"})
    once_more = again.replace(": ", ":").replace(", ", ",")
    logs.log_text(once_more, "print")
    (repeated,) = there.entries()

    assert [printed["JOBSD_JOB_ID"], repeated["JOBSD_JOB_ID"]] == [["42"], ["42"]]
    assert "JOBSD_EVENT" not in printed | repeated
    assert printed["PRIORITY"] == repeated["PRIORITY"] == ["6"]


def test_a_queue_name_with_lines_of_fields_is_one_value(there: Journal) -> None:
    emit("job.failed", job_id=7, queue_name=ESCAPE, class_name="\udcff", error=ValueError())

    entry = there.entry()
    assert entry["JOBSD_QUEUE"] == [ESCAPE]
    assert entry["JOBSD_CLASS"] == ["\\udcff"]
    assert (entry["JOBSD_EVENT"], entry["PRIORITY"]) == (["job.failed"], ["3"])


@pytest.mark.failure(
    "The journal reads nothing any more.",
    "One line waits a fifth of a second, the others are dropped and counted; work continues.",
)
def test_a_journal_that_is_full_holds_up_nothing(there: Journal) -> None:
    watch = Stopwatch()
    for _ in range(3000):
        emit("supervisor.ready")

    assert there.dropped > 0
    assert watch.took() < 3000 * 0.2 / 4, "it waits once"
    received = len(there.entries())
    assert received + there.dropped == 3000
    emit("supervisor.ready")
    events = [entry["JOBSD_EVENT"] for entry in there.entries()]
    assert events == [["supervisor.ready"], ["logs.dropped"]]


@pytest.mark.failure(
    "The journal reads more slowly than lines come",
    "All lines of a process together wait for a fifth of a second in ten; the others are"
    " dropped and counted.",
)
def test_a_journal_that_is_slow_holds_up_little(
    there: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    waits_s: list[float] = []
    read: list[bytes] = []

    def wait(_: int, seconds: float) -> bool:
        nonlocal now
        took_s = min(seconds, 0.03)
        now += took_s
        waits_s.append(took_s)
        read.append(there.socket.recv(1 << 20))
        return True

    monkeypatch.setattr(sink, "monotonic", lambda: now)
    monkeypatch.setattr(sink, "_writable", wait)
    for _ in range(3000):
        emit("supervisor.ready")
    first = len(waits_s)

    assert first > 1
    assert sum(waits_s) <= sink.WAIT_S + 0.001
    assert there.dropped > 0
    assert len(read) + len(there.entries()) + there.dropped == 3000
    now += sink.JOURNAL_EVERY_S
    emit("supervisor.ready")
    for _ in range(3000):
        emit("supervisor.ready")
    assert len(waits_s) > first, "it is as patient as before after ten seconds"
    assert sum(waits_s) <= 2 * sink.WAIT_S + 0.001


@pytest.mark.usefixtures("in_job")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\0JOBSD_EVENT=x\0b", id="NUL"),
        pytest.param(
            "\r\nJOBSD_JOB_ID=99\x85JOBSD_JOB_ID=98\u2028PRIORITY=0", id="ends of lines"
        ),
        pytest.param("\x1b[31mJOBSD_EVENT=x\x1b[0m\x07\x7f", id="of a terminal"),
        pytest.param(ESCAPE * 100_000, id="megabytes"),
        pytest.param('{"event": "job.failed", "job_id": 99, "level": "error"}', id="our own"),
        pytest.param("<0>JOBSD_EVENT=x", id="a priority"),
        pytest.param("MESSAGE\n\x03\0\0\0\0\0\0\0abc\nJOBSD_EVENT=x", id="their protocol"),
    ],
)
def test_whatever_a_job_prints_is_one_entry_of_its_own(there: Journal, text: str) -> None:
    logs.log_text(text, "print")
    logging.getLogger("app").info("%s", text, extra={"event": text, "task": text})
    entries = there.entries()

    assert len(entries) == 2
    for entry in entries:
        (message,) = entry.pop("MESSAGE")
        assert json.loads(message)["job_id"] == 42
        assert "\n" not in message
        assert "\0" not in message
        assert len(message.encode()) <= sink.LINE_BYTES
        assert entry == {
            "PRIORITY": ["6"],
            "SYSLOG_IDENTIFIER": ["jobsd"],
            "JOBSD_JOB_ID": ["42"],
            "JOBSD_CLASS": ["app.mail"],
            "JOBSD_QUEUE": ["mail"],
            "JOBSD_ATTEMPT": ["2"],
            "JOBSD_PROCESS_KIND": ["worker"],
            "JOBSD_PROCESS_NAME": ["worker-1"],
        }


@pytest.mark.usefixtures("in_job")
def test_bytes_that_are_no_text_are_an_entry_of_their_job(there: Journal) -> None:
    logs.log_text("\udcff\udc80 \ud800", "print")

    entry = there.entry()
    assert json.loads(entry["MESSAGE"][0])["job_id"] == 42
    assert entry["JOBSD_JOB_ID"] == ["42"]


def test_an_entry_of_very_many_and_very_long_facts_gets_through(there: Journal) -> None:
    emit(
        "job.failed",
        job_id=[10**18 + number for number in range(100_000)],
        class_name="\N{SNOWMAN}" * 10**6,
        queue_name=ESCAPE * 10**5,
        error=ValueError("x" * 10**7),
    )

    entry = there.entry()
    assert there.dropped == 0
    assert len(entry["JOBSD_JOB_ID"]) == journal.VALUES_MAX
    assert len(entry["JOBSD_CLASS"][0]) == journal.VALUE_MAX


def test_a_restarted_journal_is_found(there: Journal) -> None:
    there.close()
    emit("supervisor.ready")
    there.listen()
    emit("supervisor.ready")

    assert there.dropped == 1
    assert [entry["JOBSD_EVENT"][0] for entry in there.entries()] == [
        "supervisor.ready",
        "logs.dropped",
    ]


def test_without_the_journals_socket_lines_go_to_stdout_with_their_priority(
    there: Journal,
) -> None:
    there.close()
    there.configure()
    emit("supervisor.ready")

    there.stdout.seek(0)
    assert there.stdout.read().startswith(b'<6>{"timestamp":')


def test_a_field_has_no_password(there: Journal) -> None:
    emit("job.discarded", job_id=7, reason="no postgresql://ann:s3cr3t@db/shop")

    assert there.entry()["JOBSD_REASON"] == ["no postgresql://ann:***@db/shop"]
