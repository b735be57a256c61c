"""A job whose process is killed: nothing is raised, and it is reported all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.project import Project

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

JOBS = """
import json, os, signal
import sentry_sdk
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor, ConsoleSpanExporter
)
from sentry_sdk.transport import Transport
import jobsd.opentelemetry
from jobsd import job
from jobsd.sentry import JobsdIntegration

class File(Transport):
    def capture_envelope(self, envelope):
        with open("sentry.jsonl", "a") as file:
            for item in envelope.items:
                file.write(json.dumps([item.type, item.payload.json]) + "\\n")

sentry_sdk.init(
    "http://key@127.0.0.1:9/1", transport=File(), traces_sample_rate=0.0,
    default_integrations=False, integrations=[JobsdIntegration()],
)
tracers = TracerProvider()
spans = open("spans.jsonl", "a")
line = lambda span: json.dumps(json.loads(span.to_json())) + "\\n"
tracers.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=spans, formatter=line)))
jobsd.opentelemetry.instrument(tracer_provider=tracers)

@job(name="killed", queue="mail", priority=1)
def killed():
    os.kill(os.getpid(), signal.SIGKILL)

@job(name="tried again", queue="mail", priority=2, max_attempts=2)
def tried_again():
    os.kill(os.getpid(), signal.SIGKILL)

@job(name="broken", queue="mail")
def broken():
    raise ValueError("no")
"""


def test_attempts_that_die_with_their_process_are_reported_once(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    project.write("config/queue.yml", "import: [my_jobs]\nworkers: [{threads: 1}]\n")
    project.write("my_jobs.py", JOBS)
    assert project.run("db", "migrate").returncode == 0
    for name in ("broken", "tried again"):
        assert project.run("enqueue", name).returncode == 0
    job_id = json.loads(project.run("enqueue", "killed", "--json").stdout)["id"]

    done = project.run("start", "--until-empty")

    assert done.returncode == 0, done.stderr
    reported = [
        json.loads(each) for each in (tmp_path / "sentry.jsonl").read_text().splitlines()
    ]
    errors = [each for kind, each in reported if kind == "event"]
    facts = [
        (
            each["exception"]["values"][-1]["type"],
            each["exception"]["values"][-1]["mechanism"]["handled"],
            each["tags"]["jobsd.job"],
            each["tags"]["jobsd.queue"],
        )
        for each in errors
    ]
    assert sorted(facts) == [
        ("ProcessExitError", False, "killed", "mail"),
        ("ProcessExitError", True, "tried again", "mail"),
        ("ValueError", False, "broken", "mail"),
    ]
    assert {each["contexts"]["jobsd"]["job_id"] for each in errors} >= {job_id}
    spans = [json.loads(each) for each in (tmp_path / "spans.jsonl").read_text().splitlines()]
    ended = [
        (each["attributes"]["error.type"], each["attributes"]["jobsd.job"])
        for each in spans
        # What the worker had not exported has gone with it.
        if each["name"] == "process mail" and each["attributes"]["jobsd.job"] != "broken"
    ]
    assert sorted(ended) == [
        ("ProcessExitError", "killed"),
        ("ProcessExitError", "tried again"),
    ]
