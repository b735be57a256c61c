"""The Debian package: built, installed in a box of its own, and run as it stands there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from system.tree import wait_for

from .box import Box, why_not
from .service import SOURCE, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGING = SOURCE / "packaging/debian"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from the source as it is."""
    if shutil.which("dpkg-buildpackage") is None:
        pytest.skip("dpkg-buildpackage is not installed")
    lacks = subprocess.run(
        ["dpkg-checkbuilddeps", PACKAGING / "control"],
        capture_output=True,
        text=True,
        check=False,
    )
    if lacks.returncode:
        pytest.skip(lacks.stderr.strip())
    folder = tmp_path_factory.mktemp("package")
    built = subprocess.run(
        [PACKAGING / "build", folder], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return next(folder.glob("*.deb"))


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of the package, in a box in which nothing else of ours is."""
    if reason := why_not():
        pytest.skip(reason)
    box = Box(tmp_path_factory.mktemp("box"), {package: "/run/jobsd.deb"})
    try:
        box.run(
            "rm", "-f", "/usr/sbin/policy-rc.d"
        )  # it would have no service started or stopped
        done = box.run("dpkg", "--install", "/run/jobsd.deb", check=False)
        if "dependency problems" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Service(box)
    finally:
        box.end()


def test_the_package_has_the_version_of_the_program(package: Path) -> None:
    declared = (SOURCE / "pyproject.toml").read_text(encoding="utf-8")

    assert f'\nversion = "{_field(package, "Version")}"\n' in declared


def test_the_package_needs_what_the_program_needs(package: Path) -> None:
    needed = {word.split()[0] for word in _field(package, "Depends").split(", ")}

    assert needed >= {
        *("python3-click", "python3-croniter", "python3-prometheus-client", "python3-psycopg"),
        *("python3-rich", "python3-setproctitle", "python3-structlog", "python3-yaml"),
        "tzdata",
    }


def test_installing_makes_user_and_folders_and_starts_nothing(installed: Service) -> None:
    box = installed.box

    assert box.ask("id", "-un", "jobsd") == "jobsd"
    assert box.ask("stat", "-c%a %U %G", "/etc/jobsd") == "750 root jobsd"
    assert installed.show("ActiveState", "UnitFileState") == ["inactive", "disabled"]


def test_the_installed_service_beats(installed: Service) -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL of Debian's is installed")
    installed.box.write("/etc/jobsd/env", "JOBSD_EMBEDDED=1\n")

    installed.control("start")

    wait_for(lambda: "[HEARTBEAT]" in installed.told(), what=installed.told)
    assert installed.show("Type") == ["notify"]
    installed.control("reload")
    assert len(installed.events("supervisor.reloaded")) == 1
    installed.control("stop")
    assert installed.show("Result") == ["success"]


def test_systemd_has_nothing_to_say_against_the_installed_units(installed: Service) -> None:
    units = ("jobsd.service", "jobsd@.service")

    done = installed.box.run("systemd-analyze", "verify", *units, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_removing_ends_the_service_and_keeps_the_configuration(installed: Service) -> None:
    box = installed.box
    box.write("/etc/jobsd/env", "DATABASE_URL=postgresql://127.0.0.1:1/nowhere\n")
    installed.control("start")

    box.run("dpkg", "--remove", "jobsd")

    assert not box.ask("pgrep", "-f", "jobsd supervisor")
    assert box.ask("ls", "/etc/jobsd").split() == ["env", "queue.yml", "recurring.yml"]


def _field(package: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True
    ).stdout.strip()
