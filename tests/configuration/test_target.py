"""A program that configures no database finds the one of its project, or is refused."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.configuration import target
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.configuration.target import Database, find_target
from jobsd.database.connection import Target
from jobsd.errors import ConfigurationError
from jobsd.logs.redaction import redact

if TYPE_CHECKING:
    from pathlib import Path


def test_a_program_outside_of_any_project_makes_no_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a program starts none"):
        find_target(tmp_path, {})

    assert list(tmp_path.iterdir()) == []


def test_a_program_with_a_database_needs_no_project(tmp_path: Path) -> None:
    found = find_target(tmp_path, {"DATABASE_URL": "postgresql://me@host/app"})

    assert found.url == "postgresql://me@host/app"


def test_a_server_that_is_stopped_before_it_is_migrated_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    class Stopped:
        def ensure(self) -> str:
            done.append("started")
            return "postgresql://me@host/app"

    def migrates(_target: object, _report: object) -> list[str]:
        done.append("migrated")
        if len(done) == 2:
            raise psycopg.OperationalError("the server has ended")
        return ["0001"]

    monkeypatch.setattr(target, "migrate", migrates)
    server: Any = Stopped()

    applied = Database(Target("postgresql://me@host/app"), server).prepare()

    assert applied == ["0001"]
    assert done == ["started", "migrated", "started", "migrated"]


def test_the_password_of_the_way_past_a_pooler_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text(
        "database: {url: 'postgresql://me:5E5AME-of-pooler@pooler/app',"
        " listen_url: 'postgresql://me:5E5AME-of-direct@direct/app'}\n"
    )

    target.database(load(tmp_path, {}, Flags()), {})

    assert "5E5AME" not in redact("5E5AME-of-pooler and 5E5AME-of-direct")


@pytest.mark.parametrize(
    ("environ", "starts"),
    [
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, False),
        ({"SYSTEMD_EXEC_PID": str(os.getpid())}, False),
        ({"NOTIFY_SOCKET": "/run/systemd/notify", "JOBSD_EMBEDDED": "1"}, True),
        ({"SYSTEMD_EXEC_PID": "1"}, True),
        ({"JOBSD_EMBEDDED": "0"}, False),
    ],
)
def test_a_service_has_an_embedded_server_only_if_it_asks_for_one(
    tmp_path: Path, environ: dict[str, str], *, starts: bool
) -> None:
    options = load(tmp_path, {}, Flags())

    refused = pytest.raises(ConfigurationError, match="no database is configured")
    with contextlib.nullcontext() if starts else refused:
        assert target.database(options, environ).server is not None
