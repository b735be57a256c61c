"""The wheel, built from the source distribution and installed where nothing else is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from typing import TYPE_CHECKING

import pytest

from layout.house import ROOMS, SHIPPED, bare_environment, copy_to, files, packaged_files

if TYPE_CHECKING:
    from pathlib import Path

# A build on a busy machine takes its time, and a fixture's time is its first test's.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what `python -m build` makes: from a copy, since it leaves build/."""
    clone = tmp_path_factory.mktemp("clone")
    copy_to(clone)
    _succeed(sys.executable, "-P", "-m", "build", str(clone))
    return clone / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    _succeed(
        *(sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q"),
        f"jobsd[binary] @ {wheel.as_uri()}",
    )
    return folder


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    script = f"{'-'.join(wheel.name.split('-')[:2])}.data/scripts/jobsd"
    assert names - {script} == {name for name in packaged_files() if not name.endswith(".md")}
    assert script in names


def test_the_source_distribution_holds_the_rooms_as_files(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        members = {member.name.split("/", 1)[-1]: member for member in archive}

    assert members["src/jobsd/worker/__init__.py"].isfile()
    assert not [name for name, member in members.items() if member.issym() or member.islnk()]


def test_the_source_distribution_has_every_file_and_nothing_stray(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {member.name.split("/", 1)[-1] for member in archive if member.isfile()}

    made = {"PKG-INFO", "setup.cfg"}
    made |= {name for name in names if name.startswith("src/jobsd.egg-info/")}
    assert names - made == _expected_sources()


def _expected_sources() -> set[str]:
    """Return what git has: the rooms where the package has them, and no link."""
    links = {f"src/jobsd/{room}" for room in ROOMS}
    links |= {f"src/jobsd/shipped/{each}" for each in SHIPPED}
    ours = {name for name in files() if name.split("/")[0] not in ROOMS} - links
    return ours - {".gitignore"} | {f"src/{name}" for name in packaged_files()}


def test_an_installed_wheel_writes_a_unit_for_its_own_python(
    environment: Path, tmp_path: Path
) -> None:
    command = (str(environment / "bin/jobsd"), "generate", "systemd")

    unit = _succeed(*command, cwd=tmp_path)

    assert f"ExecStart={environment}/bin/python" in unit
    assert f"WorkingDirectory={tmp_path}\n" in unit


def test_an_installed_wheel_imports(environment: Path, tmp_path: Path) -> None:
    where = "import jobsd, jobsd.worker; print(jobsd.worker.__file__)"
    printed = _succeed(str(environment / "bin/python"), "-c", where, cwd=tmp_path)

    assert printed.startswith(str(environment))


def test_an_installed_wheel_has_the_command(
    wheel: Path,
    environment: Path,
    tmp_path: Path,
) -> None:
    printed = _succeed(str(environment / "bin/jobsd"), "version", cwd=tmp_path)

    assert wheel.name.split("-")[1] in printed


def _succeed(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=bare_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
