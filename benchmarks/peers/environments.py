"""The environment of each peer: its interpreter and packages, made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalog import Peer

ADAPTERS = Path(__file__).with_name("adapters")
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PATIENCE_S = 600.0


class MissingError(Exception):
    """This machine lacks what a peer needs; says what."""


@dataclass(frozen=True, slots=True)
class Environment:
    """How a peer's adapter is called, and the version of the peer that it then finds."""

    command: tuple[str, ...]
    version: str
    variables: dict[str, str]


def environment(peer: Peer) -> Environment:
    """Return a peer's environment, and make it if it is not there.

    Raises:
        MissingError: when its interpreter, its packages or its broker can't be had.
    """
    if peer.redis and shutil.which("redis-server") is None:
        raise MissingError("needs redis-server")
    adapter = str(ADAPTERS / peer.adapter)
    if peer.runtime == "ours":
        return Environment((sys.executable, adapter), _version_here(peer.packages[0]), {})
    if peer.runtime == "node":
        return _node(peer, adapter)
    if peer.runtime == "ruby":
        return _ruby(peer, adapter)
    return _python(peer, adapter)


def _python(peer: Peer, adapter: str) -> Environment:
    folder = _folder(peer)
    python = folder / "bin" / "python"
    if not python.exists():
        _made(folder, [_interpreter(peer.runtime), "-m", "venv", str(folder)])
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _made(folder, [*install, *peer.packages])
    package = peer.packages[0].partition("[")[0]
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    return Environment((str(python), adapter), _answer([str(python), "-c", asked]), {})


def _interpreter(least: str) -> str:
    """Return the path of the oldest interpreter that is at least so new."""
    oldest = least.removeprefix("python")
    for version in _PYTHONS[_PYTHONS.index(oldest) :]:
        found = shutil.which(f"python{version}")
        # A shim of a version manager stands for versions that are not selected, and fails.
        if found and _succeeds([found, "-c", "import venv, ensurepip"]):
            return _answer([found, "-c", "import sys; print(sys._base_executable)"])
    raise MissingError(f"needs Python {oldest} or later")


def _node(peer: Peer, adapter: str) -> Environment:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise MissingError("needs Node.js and npm")
    folder = _folder(peer)
    modules = folder / "node_modules"
    if not modules.exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
        ]
        _made(folder, [*install, *peer.packages])
    package = json.loads((modules / peer.packages[0] / "package.json").read_text("utf-8"))
    variables = {"PEER_MODULES": str(modules)}
    return Environment(("node", adapter), str(package["version"]), variables)


def _ruby(peer: Peer, adapter: str) -> Environment:
    """Use the gems that this machine's Ruby has, or else install them in a folder."""
    if shutil.which("ruby") is None:
        raise MissingError("needs Ruby")
    asked = [
        "ruby",
        "-e",
        "require 'rails'; require 'solid_queue/version'; print SolidQueue::VERSION",
    ]
    variables: dict[str, str] = {}
    if not _succeeds(asked):
        folder = _folder(peer)
        variables = {"GEM_HOME": str(folder), "GEM_PATH": str(folder)}
        if not folder.exists():
            _made(
                folder,
                ["gem", "install", "-q", "--no-document", "-i", str(folder), *peer.packages],
            )
    return Environment(("ruby", adapter), _answer(asked, variables), variables)


def _folder(peer: Peer) -> Path:
    """Return where a peer's packages lie: another place for other packages."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    mark = hashlib.sha256(repr((peer.runtime, peer.packages)).encode()).hexdigest()[:8]
    return cache / "jobsd-benchmarks" / f"{peer.adapter.partition('.')[0]}-{mark}"


def _made(folder: Path, command: list[str]) -> None:
    """Run a step that makes an environment; one that fails leaves nothing behind."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE_S
        )
        problem = (done.stderr or done.stdout).strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise MissingError(f"could not be installed: {problem.splitlines()[-1][:200]}")


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _answer(command: list[str], variables: dict[str, str] | None = None) -> str:
    environ = {**os.environ, **(variables or {})}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    if done.returncode:
        raise MissingError(f"can't be asked for its version: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


def _version_here(package: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - only here

    return version(package)
