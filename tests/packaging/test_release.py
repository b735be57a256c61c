"""What is uploaded: built twice alike, judged by other tools, installed on each Python."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from failures.wrapped import needs
from layout.house import ROOT, bare_environment, copy_to

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - {"dev"})
PATIENCE_S = 900


def test_a_copy_without_links_is_refused_with_one_sentence(tmp_path: Path) -> None:
    copy_to(tmp_path)
    _lose_links(tmp_path)

    done = subprocess.run(
        [sys.executable, "setup.py", "bdist_wheel"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    (reported,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert reported.startswith("error: jobsd can't be built from this copy: links in")
    assert "worker" in reported


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with what judges a distribution, and uv for the others."""
    folder = tmp_path_factory.mktemp("tools") / "environment"
    _succeed(sys.executable, "-m", "venv", str(folder))
    wanted = ("build", "check-wheel-contents", "pipx", "twine", "uv")
    _succeed(str(folder / "bin/pip"), "install", "-q", *wanted)
    return folder / "bin"


@pytest.fixture(scope="module")
def dist(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _release(tools, tmp_path_factory.mktemp("first"))


@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S)
def test_two_builds_of_one_source_are_the_same(tools: Path, dist: Path, tmp_path: Path) -> None:
    again = _release(tools, tmp_path)

    first, second = (
        {path.name: path.read_bytes() for path in each.iterdir()} for each in (dist, again)
    )
    assert len(first) == 2
    assert first == second


@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S)
def test_the_checkers_of_packages_find_no_fault(tools: Path, dist: Path) -> None:
    _succeed(str(tools / "twine"), "check", "--strict", *map(str, dist.iterdir()))
    _succeed(str(tools / "check-wheel-contents"), *map(str, dist.glob("*.whl")))


@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S)
def test_pip_refuses_a_zip_without_links_with_that_sentence(
    tools: Path, tmp_path: Path
) -> None:
    copy_to(tmp_path / "jobsd")
    _lose_links(tmp_path / "jobsd")
    archive = shutil.make_archive(str(tmp_path / "source"), "zip", tmp_path, "jobsd")

    done = subprocess.run(
        [str(tools / "pip"), "wheel", "--no-deps", "-w", str(tmp_path), archive],
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "error: jobsd can't be built from this copy" in done.stdout + done.stderr
    assert list(tmp_path.glob("*.whl")) == []


def _pythons() -> Iterator[Path]:
    """Yield a Python of each version from 3.11 on that this machine has."""
    places = [Path(sys.base_prefix), Path("/usr"), Path("/usr/local")]
    places += sorted(Path.home().glob(".pyenv/versions/*"))
    found = {
        path.name: path
        for place in reversed(places)
        for path in place.glob("bin/python3.*")
        if path.name.removeprefix("python3.").isdigit()
    }
    return (path for name, path in found.items() if int(name.removeprefix("python3.")) >= 11)


@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("python", sorted(_pythons()), ids=lambda path: path.name)
def test_the_wheel_is_installed_with_and_without_each_extra(
    python: Path, tools: Path, dist: Path, tmp_path: Path
) -> None:
    (wheel,) = dist.glob("*.whl")
    for extra in ("", *EXTRAS):
        folder = tmp_path / (extra or "plain")
        uv = str(tools / "uv")
        _succeed(uv, "venv", "-q", "--python", str(python), str(folder))
        inside = ("--python", str(folder / "bin/python"))
        what = f"jobsd[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        _succeed(uv, "pip", "install", "-q", *inside, what)
        _succeed(uv, "pip", "check", "-q", *inside)

        assert PROJECT["version"] in _succeed(str(folder / "bin/jobsd"), "version")
        assert "jobsd" in _succeed(str(folder / "bin/jobsd"), "--help")
        shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("installer", ["uv", "pipx"])
def test_a_tool_below_a_path_with_a_space_starts_where_nothing_can_be_written(
    installer: str, tools: Path, dist: Path, tmp_path: Path
) -> None:
    (wheel,) = dist.glob("*.whl")
    home = tmp_path / "my tools"
    places = {
        "UV_TOOL_DIR": home / "uv",
        "UV_TOOL_BIN_DIR": home / "bin",
        "PIPX_HOME": home / "pipx",
        "PIPX_BIN_DIR": home / "bin",
    }
    install = {
        "uv": ("uv", "tool", "install", "-q", "--python", sys.executable),
        "pipx": ("pipx", "install", "-q", "--python", sys.executable),
    }[installer]
    given = [f"{name}={place}" for name, place in places.items()]
    what = f"jobsd[binary] @ {wheel.as_uri()}"
    _succeed("env", *given, str(tools / install[0]), *install[1:], what)

    remount = 'mount -o remount,bind,ro / && ! touch "$0" 2>&- && exec "$0" version'
    read_only = needs("unshare", "--mount", "sh", "-c", remount)
    said = _succeed(*read_only, str(home / "bin/jobsd"))

    assert said.startswith("jobsd ")


def _release(tools: Path, folder: Path) -> Path:
    clone = folder / "clone"
    copy_to(clone)
    _succeed(str(tools / "python"), str(clone / "packaging/release"), str(folder / "dist"))
    return folder / "dist"


def _lose_links(folder: Path) -> None:
    """Write each link of the package as a file that holds where it led, as pip does."""
    package = folder / "src/jobsd"
    for path in (*package.iterdir(), *(package / "shipped").iterdir()):
        if path.is_symlink():
            target = path.readlink()
            path.unlink()
            path.write_text(str(target), encoding="utf-8")


def _succeed(*command: str) -> str:
    done = subprocess.run(
        command, env=bare_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
