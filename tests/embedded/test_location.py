from __future__ import annotations

import os
from pathlib import Path

import pytest
from psycopg import conninfo

from jobsd.embedded import Location, location


def test_it_lies_in_the_folder_that_the_environment_names() -> None:
    environ = {"JOBSD_EMBEDDED_DIR": "/srv/pg"}

    assert location(Path("/srv/app"), environ).directory == Path("/srv/pg")


def test_a_relative_folder_is_one_below_the_project(tmp_path: Path) -> None:
    environ = {"JOBSD_EMBEDDED_DIR": "var/pg"}

    assert location(tmp_path, environ).directory == tmp_path / "var/pg"


def test_without_settings_it_is_in_the_storage_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert location(tmp_path, {}).directory == tmp_path / "storage/postgres"


def test_as_root_each_project_has_a_folder_of_its_name_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    one, other = (location(tmp_path / part / "my app!", {}).directory for part in "ab")

    assert one != other
    assert one.name == "postgres"
    assert one.parent.parent == Path("/var/lib/jobsd-embedded")
    assert one.parent.name.startswith("my-app-")


def test_a_project_has_one_server_whatever_path_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "link").symlink_to("app")

    assert location(tmp_path / "link", {}) == location(tmp_path / "app", {})


@pytest.mark.parametrize("name", ["d" * 100, "with, comma"])
def test_a_socket_that_libpq_could_not_name_lies_elsewhere(name: str) -> None:
    assert Location(Path("/srv", name)).socket.parent == Path("/tmp")


def test_the_url_survives_any_character_of_a_path() -> None:
    place = Location(Path("/srv/a b%c?d&é"))

    parts = conninfo.conninfo_to_dict(place.url)

    assert parts == {
        "user": "jobsd",
        "dbname": "jobsd",
        "host": "/srv/a b%c?d&é/socket",
        "port": "5432",
    }
