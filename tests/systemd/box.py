"""A machine of its own with a real systemd as process 1, made of namespaces in half a second.

No virtual machine and no container engine: a control group, new namespaces, an overlay of
this machine's root, and the systemd that is installed here (see `cradle`). It has its own
loopback, so nothing in it meets what runs outside. Needs root, a cgroup2 and an overlay.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CRADLE = Path(__file__).with_name("cradle.py")
_SYSTEMD = Path("/lib/systemd/systemd")
_NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net")
# What `cradle` does first; over a folder that is there, and gone with the namespace.
_TRIAL = """
mount -t tmpfs box "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay box -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc proc "$0/root/proc"
"""
BOOT_S = 30.0


def why_not() -> str:
    """Return why no box can be made here, or nothing."""
    if os.geteuid() != 0:
        return "a box takes root"
    if not _SYSTEMD.exists():
        return "systemd is not installed"
    missing = [name for name in ("unshare", "nsenter", "setpriv") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} is not installed"
    if _control_groups() is None:
        return "no cgroup2 is mounted"
    tried = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "sh", "-euc", _TRIAL, "/tmp"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces or no overlay: {tried.stderr.strip()}" if tried.returncode else ""


class Inside(ABC):
    """Where a systemd runs: a box, or a virtual machine."""

    def run(
        self, *words: str, check: bool = True, within_s: float = 60.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end."""
        done = self._do(words, stdin, within_s)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def ask(self, *words: str) -> str:
        """Return what a command says, whether it succeeds or not."""
        return self.run(*words, check=False).stdout.strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside."""
        self.run("install", "-D", f"-m{mode:o}", "/dev/stdin", path, stdin=text)

    @abstractmethod
    def _do(
        self, words: Sequence[str], stdin: str, within_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""


class Box(Inside):
    """A booted systemd; `folder` is seen inside as /run/outside.

    `binds` are folders and files of this machine and where they are in the box: those of
    other file systems than the root's are not there otherwise.
    """

    def __init__(self, folder: Path, binds: Mapping[Path, str]) -> None:
        self._console = folder / "console"
        self._group = _make_group()
        self.shared = folder / "outside"
        self.shared.mkdir()
        (folder / "root").mkdir()
        places = {str(source): place for source, place in binds.items()}
        places[str(self.shared)] = "/run/outside"
        with self._console.open("wb") as console:
            self._unshare = subprocess.Popen(
                [
                    *("sh", "-c", 'echo $$ >"$0" && exec "$@"', f"{self._group}/cgroup.procs"),
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    *("unshare", *_NAMESPACES, "--fork", "--kill-child=KILL"),
                    *("--propagation", "private", "--"),
                    *(sys.executable, "-I", str(_CRADLE)),
                    *(str(folder / "root"), json.dumps(places)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        try:
            self._wait_for_boot()
        except BaseException:
            self.end()
            raise

    def _do(
        self, words: Sequence[str], stdin: str, within_s: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._enter(), *words],
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            input=stdin,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0"},
        )

    def end(self) -> None:
        """Kill all of it: with process 1 of a namespace everything in it ends."""
        with contextlib.suppress(ProcessLookupError):
            self._unshare.kill()
        self._unshare.wait(10)
        wait_until(self._group_is_gone, what="the end of all processes in the box")

    def _enter(self) -> list[str]:
        spaces = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net")
        return ["nsenter", "--target", str(self._leader()), *spaces, "--wdns=/", "--"]

    def _leader(self) -> int:
        """Return the process id of the box's systemd, as it is outside."""
        pid = self._unshare.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return int(children[0]) if children else 0

    def _wait_for_boot(self) -> None:
        wait_until(self._booted, BOOT_S, "the boot of systemd")
        self.run("ip", "link", "set", "lo", "up")

    def _booted(self) -> bool:
        assert self._unshare.poll() is None, self._console.read_text(encoding="utf-8")
        if not self._leader():
            return False
        return self.ask("systemctl", "is-system-running") in {"running", "degraded"}

    def _group_is_gone(self) -> bool:
        for folder, _, _ in os.walk(self._group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return not self._group.exists()


def _control_groups() -> Path | None:
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return Path(place)
    return None


def _make_group() -> Path:
    mounted = _control_groups()
    assert mounted is not None
    group = mounted / f"jobsd-box-{os.getpid()}-{os.urandom(3).hex()}"
    group.mkdir()
    return group
