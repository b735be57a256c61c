"""What the journal has of the service: whole records, each from who has written it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from .service import Service

PRIORITIES = {"debug": "7", "info": "6", "warning": "4", "error": "3"}
LINE = "né naïve \N{SNOWMAN} \" \\ ' <3> " + "x" * 9000


FORGED = (
    "FORGED\nJOBSD_EVENT=job.forged\nFORGED=1\nJOBSD_JOB_ID=99\n<0>FORGED\n"
    "JOBSD_JOB_ID\n\x02\x01\x01\x01\x01\x01\x01\x0199\nFORGED\n"
)


@pytest.fixture
def journal(service: Service) -> list[dict[str, Any]]:
    """All that the service has logged while jobs printed long lines at once."""
    service.configure(JOBSD_EMBEDDED="1", queue="workers: [{processes: 2, threads: 3}]\n")
    service.control("start")
    for number in range(4):
        service.command("enqueue", "service_jobs.say", json.dumps([f"{number} {LINE}", 20]))
    wait_until(lambda: _printed(service) == 80, what=service.reported()[-2000:])
    service.control("stop")
    ours = [e for e in service.journal() if e.get("_SYSTEMD_UNIT") == "jobsd.service"]
    # A first start tells people that it makes a server; that is no record.
    return [e for e in ours if not e["MESSAGE"].startswith("jobsd: making")]


def test_each_journal_entry_is_one_record_of_its_process(journal: list[dict[str, Any]]) -> None:
    records = [(entry, json.loads(entry["MESSAGE"])) for entry in journal]

    assert len(records) > 90
    for entry, record in records:
        assert entry["PRIORITY"] == PRIORITIES[record["level"]]
        assert entry["SYSLOG_IDENTIFIER"] == "jobsd"
        assert entry["_PID"] == str(record["pid"])
    said = [record["event"] for _, record in records if LINE in record["event"]]
    assert len(said) == 80


def test_journal_entries_are_found_by_their_fields(
    service: Service, journal: list[dict[str, Any]]
) -> None:

    job_id = next(entry["JOBSD_JOB_ID"] for entry in journal if "JOBSD_JOB_ID" in entry)

    found = service.box.ask("journalctl", "--output=cat", "--all", f"JOBSD_JOB_ID={job_id}")
    ready = service.box.ask("journalctl", "--output=cat", "JOBSD_EVENT=supervisor.ready")

    assert len(found.splitlines()) >= 20
    assert {json.loads(line)["job_id"] for line in found.splitlines()} == {int(job_id)}
    assert [json.loads(line)["event"] for line in ready.splitlines()] == ["supervisor.ready"]


@pytest.mark.failure(
    "The journal's daemon stands still, then is killed, while jobs write many lines",
    "Jobs go on; lines are dropped and counted, and the log goes on with the next daemon.",
)
def test_a_journal_that_stands_still_or_dies_holds_up_no_job(service: Service) -> None:
    service.configure(JOBSD_EMBEDDED="1", queue="workers: [{processes: 1, threads: 3}]\n")
    service.control("start")
    daemon = "systemd-journald"
    service.box.run("systemctl", "kill", "--signal=STOP", daemon)
    try:
        service.command("enqueue", "service_jobs.say", json.dumps([LINE, 300]))
        service.command("enqueue", "service_jobs.slow", "[0]")
        wait_until(lambda: service.exists("ended"), 90, "a job")
    finally:
        service.box.run("systemctl", "kill", "--signal=CONT", daemon)
    _wait_for_line(service, "logs.dropped")
    service.box.run("systemctl", "kill", "--signal=KILL", daemon)

    _wait_for_line(service, "afterwards")


@pytest.mark.failure(
    "A job prints more lines than the journal accepts from a service.",
    "The journal drops lines of that level only, and says how many; failures are still there.",
)
def test_beyond_the_journals_limit_lines_of_one_level_are_dropped(service: Service) -> None:
    service.configure(
        JOBSD_EMBEDDED="1",
        queue="workers: [{processes: 1, threads: 1}]\n",
        # Of each level; with room on its disk the journal accepts up to six times as many.
        drop_in="[Service]\nLogRateLimitIntervalSec=5s\nLogRateLimitBurst=50\n",
    )
    service.control("start")

    service.command("enqueue", "service_jobs.say", json.dumps(["much", 3000]))
    service.command("enqueue", "service_jobs.slow", '["no number"]')
    wait_until(lambda: service.events("job.failed"), 90, "the failure, though after much else")

    assert sum(record["event"] == "much" for record in service.records()) < 3000

    def is_counted() -> bool:
        service.command("enqueue", "service_jobs.say", json.dumps(["afterwards", 1]))
        words = ("--output=cat", "--identifier=systemd-journald")
        return "messages from jobsd.service" in service.box.ask("journalctl", *words)

    wait_until(is_counted, 90, "how many were dropped")


@pytest.mark.failure(
    "A job writes lines of fields, bytes of the journal's protocol and megabytes, in each way.",
    "They become messages of entries of that job; no field is forged",
)
def test_a_line_written_by_a_job_forges_no_field(service: Service) -> None:
    service.configure(JOBSD_EMBEDDED="1", queue="workers: [{processes: 1, threads: 1}]\n")
    service.control("start")
    job_id = service.command("enqueue", "service_jobs.forge", json.dumps([FORGED])).split()[-1]
    _wait_for_line(service, "afterwards")
    service.control("stop")

    entries = [e for e in service.journal() if "FORGED" in str(e["MESSAGE"])]
    found = [entry.get("JOBSD_JOB_ID") for entry in entries]
    assert len(entries) >= 6
    assert set(found) == {job_id}
    assert {entry["PRIORITY"] for entry in entries} <= {"4", "6"}
    assert not [entry for entry in entries if "JOBSD_EVENT" in entry]
    for field in ("JOBSD_JOB_ID=99", "JOBSD_EVENT=job.forged", "FORGED=1"):
        assert service.box.ask("journalctl", "--output=cat", "--all", field) == ""


def _wait_for_line(service: Service, text: str) -> None:
    """Let jobs print until a line with this text has come through."""

    def comes() -> bool:
        service.command("enqueue", "service_jobs.say", json.dumps(["afterwards", 1]))
        return text in service.reported()

    wait_until(comes, 90, f"a line with {text}")


def _printed(service: Service) -> int:
    return sum(LINE in record["event"] for record in service.records())
