"""The Debian package: built from the source as it is, and looked into."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from .service import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGING = SOURCE / "packaging/debian"


def build(folder: Path) -> Path:
    """Build the package into a folder; skip where what builds it is not installed."""
    if shutil.which("dpkg-buildpackage") is None:
        pytest.skip("dpkg-buildpackage is not installed")
    lacks = _run("dpkg-checkbuilddeps", str(PACKAGING / "control"))
    if lacks.returncode:
        pytest.skip(lacks.stderr.strip())
    built = _run(str(PACKAGING / "build"), str(folder))
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return next(folder.glob("*.deb"))


def field(package: Path, name: str) -> str:
    """Return what a package says of itself."""
    return _run("dpkg-deb", "--field", str(package), name).stdout.strip()


def unpacked(package: Path, folder: Path) -> Path:
    """Unpack a package, with what it does at the install below DEBIAN."""
    _checked("dpkg-deb", "--raw-extract", str(package), str(folder))
    return folder


def later(package: Path, folder: Path, change: Callable[[Path], None] | None = None) -> Path:
    """Return the same package under the version of a later build, as `build` would give it.

    `change` may change its program, a folder.
    """
    tree = unpacked(package, folder / "later")
    if change is not None:
        change(tree / "usr/lib/python3/dist-packages/jobsd")
    old = field(package, "Version")
    new = f"{old.partition('+')[0]}+99990101000000"
    (reported,) = tree.glob("usr/lib/python3/dist-packages/jobsd-*.dist-info")
    for path in (tree / "DEBIAN/control", reported / "METADATA"):
        path.write_text(
            path.read_text("utf-8").replace(f"Version: {old}\n", f"Version: {new}\n")
        )
    machine = tree / "usr/lib/python3/dist-packages/jobsd/machine.py"
    machine.write_text(machine.read_text("utf-8").replace(f'"{old}"', f'"{new}"'), "utf-8")
    reported.rename(reported.with_name(reported.name.replace(old, new)))
    made = folder / "later.deb"
    _checked("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made))
    return made


def _checked(*words: str) -> None:
    done = _run(*words)
    assert done.returncode == 0, done.stderr


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)
