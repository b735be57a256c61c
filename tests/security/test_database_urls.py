"""A URL is read as it was meant or refused; what could be a password is never told."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import conninfo

from harness.project import Project
from jobsd.configuration.faults import Mistake
from jobsd.configuration.kinds import read_database_url
from jobsd.enqueueing.client import configure, default_client
from jobsd.errors import ConfigurationError
from jobsd.logs.redaction import redact

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = [
    "SESAME%zz",
    "SESAME%",
    "SESAME/x",
    "12/SESAME",
    "a/SESAME",
    "a@SESAME",
    "SESAME@x",
    "a%zzSESAME",
    "a SESAME",
    "a?SESAME",
]

_PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(secret=_PRINTABLE)
@example(secret="p@ss/w?rd#%")
@example(secret="%80")
def test_an_unescaped_password_never_changes_the_other_parts(secret: str) -> None:
    try:
        found = conninfo.conninfo_to_dict(
            read_database_url(f"postgresql://me:{secret}@db:5432/app")
        )
    except Mistake:
        # Nothing that needs no escape is refused.
        assert quote(secret, safe="") != secret
        return

    assert (found["host"], found["port"], found["dbname"]) == ("db", "5432", "app")
    assert (found["user"], found["password"]) == ("me", unquote(secret))


@given(secret=_PRINTABLE)
def test_an_escaped_password_is_always_taken(secret: str) -> None:
    url = read_database_url(f"postgresql://me:{quote(secret, safe='')}@db:5432/app")

    assert conninfo.conninfo_to_dict(url)["password"] == secret
    assert redact(url) == "postgresql://me:***@db:5432/app"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///app?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/app",
        "postgresql://[::1]:5432/app",
        "postgresql://me@a:1,b:2,[::1]/app?target_session_attrs=read-write",
        "postgresql://me:pa:ss#word@db/app?sslmode=require",
        "postgresql://db/?user=me&password=a@b",
        "host=/tmp dbname=app password='a b'",
    ],
)
def test_a_url_that_libpq_reads_as_intended_is_taken(url: str) -> None:
    assert read_database_url(url) == url


@pytest.mark.parametrize("secret", SECRETS)
def test_a_fault_of_the_url_reports_no_password(tmp_path: Path, secret: str) -> None:
    project = Project(tmp_path, f"postgresql://me:{secret}@127.0.0.1:1/app")

    done = project.run("db", "status", "--debug")

    assert done.returncode == 78
    assert "SESAME" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:SESAME@db/x",
        "no url at all",
        "postgresql://db/x?no_such_option=1",
        "postgresql://db?user=me&password=SESAME@x",
    ]
    + [f"postgresql://me:{secret}@db:5432/app" for secret in SECRETS],
)
def test_a_program_is_refused_a_faulty_url_at_once_and_given_no_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database_url must be a URL") as caught:
        configure(url)

    reported = "".join(traceback.format_exception(caught.value, limit=0))
    assert "SESAME" not in reported


def test_a_program_may_give_the_url_that_sqlalchemy_takes() -> None:
    configure("postgresql+psycopg://me@db/app")
    try:
        assert default_client().target.url == "postgresql://me@db/app"
    finally:
        configure()


def test_a_fault_in_the_file_reports_no_password(tmp_path: Path) -> None:
    project = Project(tmp_path, "")
    project.write("config/queue.yml", 'database: {url: "postgresql://me:a/SESAME@db/app"}')

    done = project.run("check")

    assert done.returncode == 78
    assert "config/queue.yml:1:17" in done.stderr
    assert "SESAME" not in done.stdout + done.stderr


def test_a_fault_of_a_connection_string_reports_no_password(tmp_path: Path) -> None:
    done = Project(tmp_path, "host=db password=my SESAME dbname=x").run("db", "status")

    assert done.returncode == 78
    assert "SESAME" not in done.stdout + done.stderr
