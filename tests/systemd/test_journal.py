"""What the journal has of the service: whole records, each from who has written it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from system.tree import wait_for

if TYPE_CHECKING:
    from .service import Service

PRIORITIES = {"debug": "7", "info": "6", "warning": "4", "error": "3"}
LINE = "né naïve \N{SNOWMAN} \" \\ ' <3> " + "x" * 9000


@pytest.fixture
def journal(service: Service) -> list[dict[str, Any]]:
    """All that the service has logged while jobs printed long lines at once."""
    service.configure(JOBSD_EMBEDDED="1", queue="workers: [{processes: 2, threads: 3}]\n")
    service.control("start")
    for number in range(4):
        service.command("enqueue", "service_jobs.say", json.dumps([f"{number} {LINE}", 20]))
    wait_for(lambda: _printed(service) == 80, what=service.reported()[-2000:])
    service.control("stop")
    ours = [e for e in service.journal() if e.get("_SYSTEMD_UNIT") == "jobsd.service"]
    # A first start tells people that it makes a server; that is no record.
    return [e for e in ours if not e["MESSAGE"].startswith("jobsd: making")]


def test_each_entry_is_one_record_of_who_wrote_it(journal: list[dict[str, Any]]) -> None:
    records = [(entry, json.loads(entry["MESSAGE"])) for entry in journal]

    assert len(records) > 90
    for entry, record in records:
        assert entry["PRIORITY"] == PRIORITIES[record["level"]]
        assert entry["SYSLOG_IDENTIFIER"] == "jobsd"
        assert entry["_PID"] == str(record["pid"])
    said = [record["event"] for _, record in records if LINE in record["event"]]
    assert len(said) == 80


def test_entries_are_found_by_what_they_are_about(
    service: Service, journal: list[dict[str, Any]]
) -> None:

    job_id = next(entry["JOBSD_JOB_ID"] for entry in journal if "JOBSD_JOB_ID" in entry)

    found = service.box.ask("journalctl", "--output=cat", "--all", f"JOBSD_JOB_ID={job_id}")
    ready = service.box.ask("journalctl", "--output=cat", "JOBSD_EVENT=supervisor.ready")

    assert len(found.splitlines()) >= 20
    assert {json.loads(line)["job_id"] for line in found.splitlines()} == {int(job_id)}
    assert [json.loads(line)["event"] for line in ready.splitlines()] == ["supervisor.ready"]


def _printed(service: Service) -> int:
    return sum(LINE in record["event"] for record in service.records())
