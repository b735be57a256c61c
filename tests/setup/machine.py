"""Clones on machines that are fresh in one respect or another, and starts in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layout.house import ROOT, bare_environment, copy_to

if TYPE_CHECKING:
    from pathlib import Path

# What stands for the daemon: it tells what it was started as.
_PROBE = """\
import json, os, sys
import jobsd
umask = os.umask(0)
facts = {
    "pid": os.getpid(), "group": os.getpgrp(), "session": os.getsid(0),
    "home": os.environ["JOBSD_HOME"], "arguments": sys.argv[1:], "stdin": sys.stdin.read(),
    "umask": umask, "python": list(sys.version_info[:2]), "safe_path": sys.flags.safe_path,
    "jobsd": os.path.realpath(jobsd.__file__), "environment": dict(os.environ),
    "files": sorted(map(int, os.listdir("/proc/self/fd"))),
}
print(json.dumps(facts))
sys.exit(7)
"""
PROBE_STATUS = 7

_SMALL_DEV = 'dev = ["jobsd[embedded,web]", "pytest", "pytest-timeout"]\n'


@dataclass(frozen=True)
class Started:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the probe told."""
        facts: dict[str, Any] = json.loads(self.out)
        return facts


@dataclass(frozen=True)
class Clone:
    """A clone of this project, whose daemon is a probe, and the user who starts it."""

    folder: Path
    user: str = ""
    umask: int = 0o022
    names: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    @property
    def stamp(self) -> Path:
        return self.venv / "jobsd.stamp"

    def begin(self, *command: str, **names: str) -> subprocess.Popen[str]:
        """Start a command here, in a session of its own."""
        return subprocess.Popen(
            [*as_user(self.user), *command],
            cwd=self.folder,
            env=bare_environment(**self.names, **names),
            umask=self.umask,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, given: str = "", **names: str) -> Started:
        """Run a command here to its end."""
        return finish(self.begin(*command, **names), given)

    def change_what_is_declared(self) -> None:
        """Make the environment stale."""
        declared = self.folder / "pyproject.toml"
        declared.write_text(declared.read_text() + "# changed\n")


def finish(process: subprocess.Popen[str], given: str = "") -> Started:
    """Wait for a command's end."""
    out, err = process.communicate(given, timeout=100)
    return Started(process.returncode, out, err)


def make_clone(folder: Path) -> None:
    """Clone the project, with a probe for a daemon and few development packages."""
    folder.mkdir(parents=True)
    copy_to(folder)
    (folder / "daemon/__main__.py").write_text(_PROBE)
    declared = folder / "pyproject.toml"
    before, _, rest = declared.read_text().partition("dev = [\n")
    declared.write_text(before + _SMALL_DEV + rest.partition("]\n")[2])


def as_user(user: str) -> list[str]:
    """Return what to put before a command for it to run as `user`; root is asked for that."""
    if not user:
        return []
    group = subprocess.check_output(["id", "-g", user], text=True).strip()
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]


def find_python(version: str, user: str = "") -> str | None:
    """Return the path of a Python that `user` may run and make environments with."""
    this = "{}.{}".format(*sys.version_info)
    usual = f"/usr/bin/python{version}"
    named = shutil.which(f"python{version}", path=bare_environment()["PATH"])
    ours = os.path.realpath(sys.executable) if this == version else None
    for candidate in filter(None, (usual, named, ours)):
        probe = [*as_user(user), candidate, "-c", "import ensurepip"]
        if (
            shutil.which(candidate)
            and not subprocess.run(
                probe,
                check=False,
                cwd="/",
                capture_output=True,
            ).returncode
        ):
            return candidate
    return None


def shell(code: str, names: dict[str, str], home: Path = ROOT) -> Started:
    """Run a piece of shell code with the functions of bin/.setup, for the clone `home`."""
    setup = f'set -eu\nJOBSD_HOME="{home}"\n. "{ROOT}/bin/.setup"\n{code}'
    done = subprocess.run(
        ["sh", "-c", setup],
        env=bare_environment(**names),
        check=False,
        capture_output=True,
        text=True,
    )
    return Started(done.returncode, done.stdout, done.stderr)
