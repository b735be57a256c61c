"""The files of this project, as git knows them, and copies of them to do things to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("daemon", "dispatcher", "scheduler", "supervisor", "web", "worker")
SHIPPED = {
    "config": "config",
    "grafana": "packaging/grafana",
    "kubernetes": "packaging/kubernetes",
    "prometheus": "packaging/prometheus",
    "systemd": "systemd",
}
"""Links in src/jobsd/shipped, and what they lead to: what the wheel carries beside code."""

_SURROUNDINGS = ("PIP_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY")


def tool(name: str) -> str:
    """Return the path of a program of the environment that these tests run in."""
    return str(Path(sys.executable).with_name(name))


def files(*suffixes: str) -> list[str]:
    """Return what git has or would take here, relative to the root; links are not entered."""
    listing = subprocess.run(
        [
            *("git", "-c", "safe.directory=*", "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = sorted(set(filter(None, listing.stdout.split("\0"))))
    return [name for name in names if (ROOT / name).exists() and name.endswith(suffixes or "")]


def packaged_files() -> set[str]:
    """Return the files of the package by their names in it, such as jobsd/worker/turn.py."""
    floors = {name.removeprefix("src/") for name in files() if name.startswith("src/jobsd/")}
    links = {f"jobsd/{room}" for room in ROOMS} | {f"jobsd/shipped/{each}" for each in SHIPPED}
    rooms = {f"jobsd/{name}" for name in files() if name.split("/")[0] in ROOMS}
    shipped = {
        f"jobsd/shipped/{link}/{name.removeprefix(f'{folder}/')}"
        for link, folder in SHIPPED.items()
        for name in files()
        if name.startswith(f"{folder}/") and not name.endswith(".test.yml")
    }
    return (floors - links) | rooms | shipped


def copy_to(folder: Path) -> None:
    """Lay the project's files out in `folder`, links as links, like a clone of it."""
    for name in files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / name
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def bare_environment(**names: str) -> dict[str, str]:
    """Return what a login on a fresh machine has, and how it reaches its package registry."""
    kept = {k: v for k, v in os.environ.items() if k.upper().startswith(_SURROUNDINGS)}
    return {**kept, "PATH": _path_without_ours(), "HOME": os.environ.get("HOME", "/"), **names}


def _path_without_ours() -> str:
    ours = str(Path(sys.executable).parent)
    return ":".join(part for part in os.environ["PATH"].split(":") if part != ours)
