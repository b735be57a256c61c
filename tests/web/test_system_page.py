"""The page of what everything runs on, and what is not on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dashboard.asking import MADE, Browser
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.database.steps import latest_version
from jobsd.web.mounting import served

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target
    from rows import Rows

_FILE = """\
workers: [{threads: 4, queues: "${QUEUES:-mail}"}]
web:
  users: {ann: {password: "${PASSWORD:-pa55}", role: admin, token: t0ken}}
  database_url: postgresql://ann:s3cret@db/queue
jobs: {filter_arguments: [token]}
monitor: {latency_target: {default: 1m, "<mail>": 10s}}
"""
_ENVIRON = {
    "QUEUES": "from-the-variable",
    "PASSWORD": "pa66",
    "DATABASE_URL": "postgresql://bob:hush@elsewhere/x",
}
_HIDDEN = ("from-the-variable", "pa66", "pa55", "t0ken", "s3cret", "hush")


def _page(folder: Path, target: Target) -> Browser:
    file = folder / "config/queue.yml"
    file.parent.mkdir()
    file.write_text(_FILE, encoding="utf-8")
    options = load(folder, _ENVIRON, Flags())
    made = served(options, _ENVIRON, "127.0.0.1:0", lambda: target)
    # Its own database is one that is not there.
    object.__setattr__(made.settings, "target", lambda: target)
    application = type(made)(made.settings)
    MADE.append(application)
    return Browser(application, Authorization="Bearer t0ken")


def test_settings_are_shown_without_secrets_and_the_environment(
    tmp_path: Path, target: Target
) -> None:
    browser = _page(tmp_path, target)

    texts = [browser.get(path).text for path in ("/system", "/api/v1/system")]
    document: Any = browser.get("/api/v1/system").json()
    settings = {row["setting"]: row for row in document["settings"]}

    assert [word for word in _HIDDEN for text in texts if word in text] == []
    assert settings["workers[0].threads"]["value"] == 4
    assert settings["workers[0].threads"]["source"].endswith("queue.yml:1")
    assert settings["workers[0].queues"]["value"] == "from the environment"
    assert settings["web.database_url"]["value"] == "not shown"
    assert settings["jobs.filter_arguments"]["value"] == ["token"]
    assert settings["monitor.latency_target"]["value"] == {"default": 60.0, "<mail>": 10.0}
    assert "default: 1m, &lt;mail&gt;: 10s<" in texts[0]


def test_a_file_with_faults_since_the_start_is_reported(tmp_path: Path, target: Target) -> None:
    browser = _page(tmp_path, target)
    (tmp_path / "config/queue.yml").write_text("workers: [{threads: many}]\n")

    page = browser.get("/system")

    assert page.status == 200
    assert "Since this dashboard was started, the configuration has got faults" in page.text


def test_the_server_and_the_tables_are_described(browser: Browser, rows: Rows) -> None:
    [server] = rows("SELECT current_setting('server_version')")

    found: Any = browser.get("/api/v1/system").json()
    page = browser.get("/system").text

    assert found["server"]["version"] == server
    assert found["migrations"] | {"applied_at": 0} == {
        "version": latest_version(),
        "applied_at": 0,
        "pending": [],
    }
    assert "jobs" in {row["table"] for row in found["tables"]}
    assert found["server"]["clock_ahead_s"] < 60
    assert "agrees with this machine" in page


def test_missing_migration_steps_are_reported(browser: Browser, rows: Rows) -> None:
    (kept,) = rows(
        "DELETE FROM jobsd.schema_migrations AS step WHERE version = %s"
        " RETURNING to_jsonb(step)::text",
        latest_version(),
    )
    page = browser.get("/system").text
    rows(
        "INSERT INTO jobsd.schema_migrations"
        " SELECT * FROM jsonb_populate_record(NULL::jobsd.schema_migrations, %s::jsonb)",
        kept,
    )

    assert f"{latest_version():04d}_{json.loads(str(kept))['name']}" in page
    assert "bin/jobs db migrate" in page
