"""A program that configures no database finds the one of its project, or is refused."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.configuration import application, target
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load, load_for_commands
from jobsd.configuration.target import Database, find_target
from jobsd.database.connection import Target
from jobsd.errors import ConfigurationError, NoDatabaseError
from jobsd.logs.redaction import redact

if TYPE_CHECKING:
    from pathlib import Path

ASKS = """
import os, pathlib
from jobsd.configuration import application, load
from jobsd.configuration.flags import Flags
loads = pathlib.Path("loads")
loads.write_text((loads.read_text() if loads.exists() else "") + "x")
application.SETUPS = frozenset({"loads_shop"})
options = load.load(pathlib.Path(), {}, Flags())
if len(loads.read_text()) < 4:
    application.database(options, os.environ)
raise RuntimeError("it has asked")
"""


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


def test_a_missing_database_names_each_source(tmp_path: Path) -> None:
    options = load(tmp_path, {}, Flags())

    with pytest.raises(NoDatabaseError) as caught:
        target.database(options, {})

    (fault,) = caught.value.faults
    assert str(caught.value) == "no database is configured, and none was made here"
    for place in ("--database-url", "QUEUE_DATABASE_URL", "config/queue.yml", "DATABASE_URL"):
        assert place in fault.hint


def test_a_program_without_a_database_blames_no_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_target(tmp_path, {})

    assert "(at " not in str(caught.value)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose `import:` names a module that loads an application: `loads_shop`."""
    monkeypatch.setattr(application, "SETUPS", frozenset({"loads_shop"}))
    (tmp_path / "config").mkdir()
    (tmp_path / "config/queue.yml").write_text("import: [loads_shop]\n")
    return tmp_path


def test_an_application_that_never_loads_is_given_up(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "PATIENCE_S", 0.5)
    (asked / "loads_shop.py").write_text("import threading\nthreading.Event().wait(60)\n")

    with pytest.raises(NoDatabaseError, match=r"has not loaded within 0\.5 s"):
        target.database(load(asked, {}, Flags()), os.environ)


def test_an_application_that_asks_while_it_loads_is_loaded_once(asked: Path) -> None:
    (asked / "loads_shop.py").write_text(ASKS)

    with pytest.raises(NoDatabaseError, match="it has asked"):
        target.database(load(asked, {}, Flags()), os.environ)

    assert (asked / "loads").read_text() == "x"


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
        assert target.database(options, environ, makes=True).server is not None


@pytest.mark.parametrize(
    ("environ", "makes", "is_made"),
    [
        ({}, True, True),
        ({"JOBSD_ENV": "test"}, True, True),
        ({}, False, False),
        ({"JOBSD_EMBEDDED": "1"}, False, False),
        ({"JOBSD_ENV": "production"}, True, False),
        ({"JOBSD_ENV": "production", "JOBSD_EMBEDDED": "1"}, True, True),
        ({"JOBSD_IN_WEB": "tree"}, True, False),
        ({"JOBSD_IN_WEB": "tree", "JOBSD_EMBEDDED": "1"}, True, True),
        ({"JOBSD_IN_WEB": "1"}, True, True),
    ],
)
def test_a_server_is_made_for_few_only(
    tmp_path: Path, environ: dict[str, str], *, makes: bool, is_made: bool
) -> None:
    variables = {**environ, "JOBSD_EMBEDDED_DIR": str(tmp_path / "postgres")}
    options = load_for_commands(tmp_path, variables, Flags())

    refused = pytest.raises(NoDatabaseError, match="none was made here")
    with contextlib.nullcontext() if is_made else refused:
        assert target.database(options, variables, makes=makes).server is not None


def test_a_server_that_is_there_is_for_everybody(tmp_path: Path) -> None:
    environ = {"JOBSD_ENV": "production", "JOBSD_EMBEDDED_DIR": str(tmp_path / "postgres")}
    (tmp_path / "postgres/data").mkdir(parents=True)
    (tmp_path / "postgres/data/PG_VERSION").touch()
    options = load_for_commands(tmp_path, environ, Flags())

    assert target.database(options, environ).server is not None
