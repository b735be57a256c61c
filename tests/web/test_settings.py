"""What the configuration says of the dashboard reaches it, mounted and served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load_for_commands
from jobsd.database.connection import Target
from jobsd.web import create_app, mounting

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.web.settings import Settings

QUEUE = Target("postgresql://queue/q", "other")
EVERYTHING = """
time_zone: Europe/Paris
database: {url: "postgresql://queue/q", schema: other}
jobs: {filter_arguments: [token], preserve_finished_jobs: false}
supervisor: {process_alive_threshold: 3m}
web:
  path: /admin/jobs
  hosts: [jobs.example]
  read_only: true
  trusted_header: X-Remote-User
  trusted_proxies: [10.0.0.0/8]
monitor: {latency_target: {mail: 10s}}
"""


def _served(root: Path, text: str, bind: str = "127.0.0.1:9393") -> Settings:
    (root / "config").mkdir(exist_ok=True)
    (root / "config/queue.yml").write_text(text, encoding="utf-8")
    options = load_for_commands(root, {}, Flags())
    return mounting.served(options, {}, bind, lambda: QUEUE).settings


def test_each_setting_reaches_a_dashboard_that_is_served(tmp_path: Path) -> None:
    made = _served(tmp_path, EVERYTHING)

    assert (made.path, made.live, made.environment) == ("/admin/jobs", "sse", "development")
    assert (made.time_zone, made.alive_threshold_s) == ("Europe/Paris", 180.0)
    assert (made.filter_arguments, made.keep_finished) == (("token",), False)
    assert (made.read_only, made.trusted_header) == (True, "X-Remote-User")
    assert made.trusted_proxies == ("10.0.0.0/8",)
    assert made.latency_targets_s == {"mail": 10.0}
    assert {"jobs.example", "127.0.0.1", "localhost"} <= (made.hosts or set())
    assert made.target() == QUEUE


def test_a_database_of_its_own_has_the_tables_where_the_queue_has_them(tmp_path: Path) -> None:
    web = 'database: {schema: other}\nweb: {database_url: "postgresql://replica/q"}\n'

    assert _served(tmp_path, web).target() == Target("postgresql://replica/q", "other")


@pytest.mark.parametrize(
    ("web", "role"),
    [
        ("{}", "admin"),
        ("{trusted_header: X-User, trusted_proxies: [10.0.0.1]}", None),
        ("{users: {ann: {password: correct horse}}}", None),
    ],
)
def test_only_a_dashboard_without_users_and_proxies_is_open_as_admin(
    tmp_path: Path, web: str, role: str | None
) -> None:
    assert _served(tmp_path, f"web: {web}\n").open_role == role


@pytest.mark.parametrize("bind", ["10.0.0.5:9393", "[fd00::5]:9393", "Here.Example:9393"])
def test_the_address_to_which_it_is_bound_is_one_of_its_names(
    tmp_path: Path, bind: str
) -> None:
    assert bind.rpartition(":")[0].lower() in (_served(tmp_path, "", bind).hosts or ())


@pytest.mark.parametrize(
    ("web", "hosts"),
    [
        ("{}", None),
        ("{hosts: [jobs.example]}", {"jobs.example"}),
        # As `guard` compares it with the name in a request.
        ("{hosts: [Jobs.Example]}", {"jobs.example"}),
    ],
)
def test_a_mounted_dashboard_leaves_path_and_users_to_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: str, hosts: set[str] | None
) -> None:
    (tmp_path / "config").mkdir()
    text = f"web: {{path: /admin/jobs, {web.removeprefix('{')}\n"
    (tmp_path / "config/queue.yml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBSD_HOME", raising=False)

    def authorize(_environ: dict[str, Any]) -> str | None:
        return None

    made = create_app(authorize, target=QUEUE).settings

    assert (made.path, made.hosts, made.open_role) == ("", hosts, None)
    assert (made.live, made.target(), made.authorize) == ("poll", QUEUE, authorize)
