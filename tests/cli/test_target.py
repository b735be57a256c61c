"""Which database is meant, and when an embedded one may be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load_for_commands
from jobsd.configuration.target import database
from jobsd.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

URLS = {
    "flag": "postgresql://flag/db",
    "QUEUE_DATABASE_URL": "postgresql://variable/db",
    "file": "postgresql://file/db",
    "DATABASE_URL": "postgresql://app/db",
}


def _url(root: Path, **said: str) -> str:
    """Return the URL that is meant when these say one."""
    (root / "config").mkdir(exist_ok=True)
    file = f"database: {{url: '{said['file']}', schema: other}}" if "file" in said else "{}"
    (root / "config/queue.yml").write_text(file, encoding="utf-8")
    flags = Flags(database_url=said.get("flag"))
    environ = {name: url for name, url in said.items() if name.isupper()}
    return database(load_for_commands(root, environ, flags), environ, makes=True).target.url


def test_the_first_source_of_the_url_counts(tmp_path: Path) -> None:
    names = list(URLS)
    for n, name in enumerate(names):
        said = {name: URLS[name] for name in names[n:]}
        assert _url(tmp_path, **said) == URLS[name]


def test_the_last_is_an_embedded_server_of_the_project(tmp_path: Path) -> None:
    url = _url(tmp_path, JOBSD_EMBEDDED_DIR=str(tmp_path / "pg"))

    assert url.startswith("postgresql://jobsd@/jobsd?host=")


@pytest.mark.parametrize(
    "environ",
    [
        {"NOTIFY_SOCKET": "/run/notify"},
        {"SYSTEMD_EXEC_PID": str(os.getpid())},
        {"JOBSD_EMBEDDED": "0"},
        {"JOBSD_EMBEDDED": "off"},
    ],
)
def test_a_service_has_no_embedded_server(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="no database is configured") as caught:
        _url(tmp_path, **environ)

    assert "DATABASE_URL" in caught.value.faults[0].hint


@pytest.mark.parametrize(
    "environ",
    [
        {"NOTIFY_SOCKET": "/run/notify", "JOBSD_EMBEDDED": "1"},
        {"SYSTEMD_EXEC_PID": "1"},
        {"INVOCATION_ID": "4711"},
    ],
)
def test_what_proves_nothing_forbids_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    assert _url(tmp_path, **environ).startswith("postgresql://jobsd@/")


def test_faults_of_recurring_tasks_are_no_reason_not_to_check(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/recurring.yml").write_text("a: {schedule: soon}", encoding="utf-8")

    options = load_for_commands(tmp_path, {"DATABASE_URL": URLS["flag"]}, Flags())

    assert (options.database.url, options.tasks) == (URLS["flag"], ())
