"""No fault shows a password of the file, whatever is wrong with it and however it is spelt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.faults import Faults, report, shortened
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import examine
from jobsd.errors import Fault

if TYPE_CHECKING:
    from configuration.project import Project


@pytest.mark.parametrize(
    "text",
    [
        # The fault is that of the URL.
        "database: {url: \"host=db password='SESAME x' bogus_option=1\"}",
        "database: {url: 'mysql://me:SESAME@host/db'}",
        "database: {url: 'postgres://me:a@b/SESAME@host/db'}",
        "database: {url: postgres://me:a SESAME@host/db}",
        "database: {url: [SESAME], listen_url: {x: SESAME}}",
        "database: {url: >-\n  host=db bogus=1\n  password=SESAME}",
        # It is that of another key in the line.
        "{workers: 1, database: {url: host=db password = SESAME}}",
        "{workers: 1, database: {url: host=db sslpassword=SESAME}}",
        "{workers: 1, database: {url: 'host=db sslpassword=''a SESAME'''}}",
        '{workers: 1, database: {url: "postgresql://me:it\'sSESAME@db"}}',
        "{workers: 1, database: {url: 'postgresql://db/x?pass%77ord=SESAME'}}",
        '{workers: 1, database: {url: "host=db password=a\\\\\'SESAME"}}',
        "{workers: 1, database: {url: '${DATABASE_URL:-postgresql://me:a SESAME@db/x}'}}",
        "{workers: 1, other: '${DATABASE_URL:-postgresql://me:a SESAME@db/x}'}",
        '{workers: 1, other: \'<%= ENV.fetch("U", "postgresql://me:a SESAME@db/x") %>\'}',
        "{workers: 1, anchored: &u 'postgresql://me:SESAME@db', database: {url: *u}}",
        "database:\n  url: 'host=db\n    user=me SESAME', shema: x}",
        "workers: 1  # postgresql://me:it'sSESAME@db/x",
        # It is an unknown key, or its value no mapping.
        "database: {password: SESAME}",
        "database: {pasword: SESAME}",
        "database: {user: me, something: SESAME}",
        "database: [{something: SESAME}]",
        "databse: {user: me, pasword: SESAME}",
        "production: {workers: 1, database: {password: SESAME}}",
        "database: postgresql://me:SESAME@db/x",
        "database: SESAME",
        "database: {postgresql://me:SESAME@db/x}",
        "postgresql://me:SESAME@db/x",
        "postgresql://me:SESAME@db/x: 1",
        "- host=db password=SESAME",
        "workers: {password: SESAME}",
        # It is one of the document.
        "database: {url: 'postgres://me:SESAME@host/db'",
        "database: {password: SESAME",
        "database: {password: SESAME, workers: ]",
        'database:\n  password: "SESAME',
        'database:\n  password:\n    "SESAME',
        "database:\n  password: *SESAME",
        "database:\n  password: !SESAME x",
        "database:\n  password: !!SESAME x",
        "database:\n  password: @SESAME",
        "database:\n  password: a: SESAME",
        "database:\n\tpassword: SESAME",
        "\tpassword: SESAME",
        "database:\n   url: x\n  password: SESAME",
        "database:\n  url: postgresql://me:SESAME@db/x: 1",
        "password = SESAME\nworkers: 1",
        "<% postgresql://me:SESAME@db/x",
        "database: {url: ${X:-postgresql://me:SESAME@db/x, schema: 1}",
        # It quotes what was given.
        "time_zone: postgresql://me:SESAME@db/x",
        "time_zone: \"host=db password='a SESAME'\"",
        "import: ['postgresql://me:aSESAME@db/x']",
        "workers: [{queues: 'postgresql://me:a*SESAME@db/x'}]",
        "workers: [{threads: 'postgresql://me:" + "x" * 40 + "SESAME@db/x'}]",
        "monitor: {bind: 'postgresql://me:SESAME@db/x'}",
    ],
)
def test_no_password_is_shown(project: Project, text: str) -> None:
    project.queue(text)

    assert "SESAME" not in report(project.faults())


@pytest.mark.parametrize(
    "text",
    [
        "t: {class: A, schedule: postgresql://me:SESAME@db/x}",
        f"t: {{class: A, schedule: 'postgresql://{'m' * 35}:SESAME-{'x' * 30}@db/x'}}",
        f"t: {{class: A, schedule: daily, time_zone: 'postgresql://{'m' * 35}:SESAME@db/x'}}",
        "t: {class: A, schedule: every hour, args: {password: SESAME}, x: 1}",
        "t: {class: A, schedule: every hour, args: ['host=db password=SESAME'], x: 1}",
        "t: {command: 'a.b(postgresql://me:SESAME@db/x)', schedule: every hour}",
        "t: {command: 'a.b(\"postgresql://me:SESAME@db/x\")', schedule: every}",
        "t: {class: A, schedule: every hour, time_zone: 'postgresql://me:SESAME@db/x'}",
    ],
)
def test_no_password_of_the_tasks_is_shown(project: Project, text: str) -> None:
    project.recurring(text)

    assert "SESAME" not in report(project.faults())


@pytest.mark.parametrize(
    ("variable", "flags"),
    [
        ("JOBSD_METRICS_BIND", Flags()),
        ("JOBSD_LOG_LEVEL", Flags()),
        ("JOBSD_LOG_FORMAT", Flags()),
        ("JOBSD_CONFIG", Flags(log_level="loud")),
        ("JOBSD_RECURRING_SCHEDULE", Flags(log_level="loud")),
        ("JOBSD_ENV", Flags(log_level="loud")),
        ("DATABASE_URL", Flags(log_level="loud")),
    ],
)
def test_a_url_in_the_wrong_variable_is_shown_without_its_password(
    project: Project, variable: str, flags: Flags
) -> None:
    project.queue("production: {workers: [{}]}")
    environ = {variable: "postgresql://me:a'SESAME@127.0.0.1:1/x"}

    examined = examine(project.root, environ, flags)

    assert examined.faults
    assert "SESAME" not in report(examined.faults, examined.options.warnings)


def test_a_hidden_password_moves_no_caret(project: Project) -> None:
    project.queue("database: {url: 'postgres://me:hidden@host/db', shema: x}")

    assert project.fault().excerpt == (
        "     1 | database: {url: 'postgres://*****************', shema: *}\n"
        "       | " + " " * 48 + "^^^^^"
    )


def test_the_schema_is_no_secret(project: Project) -> None:
    project.queue("database: {url: host=db password=SESAME, schema: pg-jobs, wakeups: no}")

    schema, wakeups = project.faults()

    assert 'not "pg-jobs"' in schema.message
    assert schema.excerpt.splitlines()[0].endswith("schema: pg-jobs, wakeups: no}")
    assert "not no" in wakeups.message


def test_text_after_a_secret_is_shown(project: Project) -> None:
    project.queue("database: {url: host=db}\nworkers: 1\ntime_zone: UTC")

    assert project.fault().excerpt.startswith("     2 | workers: 1\n")


@pytest.mark.parametrize(
    "text",
    ["time_zone: LONG", "monitor: {bind: LONG}", "LONG: 1", "jobs: *LONG", "jobs: !LONG x"],
)
def test_a_fault_cuts_a_long_input(project: Project, text: str) -> None:
    project.queue(text.replace("LONG", "x" * 300_000))

    assert len(report(project.faults())) < 1000


def test_many_secrets_take_no_longer_than_others(project: Project) -> None:
    project.queue("database: {something: [" + "a, " * 100_000 + "], other: 1}\nworkers: 1")

    assert len(project.faults()) == 3


def test_no_part_of_a_fault_shows_a_password() -> None:
    url, faults = "postgresql://me:SESAME@db/x", Faults()
    faults.add_fault(Fault(f"not {url}", f"{url}:1", hint=f"instead of {url}"))

    assert "SESAME" not in str(faults.all())


def test_a_text_that_is_cut_shows_no_part_of_a_password() -> None:
    texts = [f"{'x' * before} postgresql://me:SESAME@db/x" for before in range(120)]

    assert [text for text in map(shortened, texts) if ":S" in text] == []
