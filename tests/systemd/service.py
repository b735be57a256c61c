"""The shipped units, installed in a box, and what systemd knows of the service."""

from __future__ import annotations

import json
import shlex
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waiting import wait_until

if TYPE_CHECKING:
    from .box import Inside

SOURCE = Path(__file__).parents[2]
UNITS = SOURCE / "systemd"

_PYTHON, _PACKAGES, _SOURCE = "/opt/python", "/opt/packages", "/opt/source"

JOBS = '''
"""What the service under test runs."""
import logging
import os
import subprocess
import time
from pathlib import Path
from jobsd import job

@job
def slow(seconds):
    Path("began").touch()
    time.sleep(seconds)
    Path("ended").touch()

@job
def say(text, times):
    for _ in range(times):
        print(text)

@job
def forge(text):
    """Write it in each way that leads to the journal."""
    raw = text.encode() + b"\\0\\xff\\n"
    for number in (1, 2):
        os.write(number, raw)
        subprocess.run(["cat"], input=raw, stdout=number)
    print(text * 10_000)
    logging.getLogger("jobsd").warning(text, extra={"event": text, "job_id": 99})
'''


def binds() -> dict[Path, str]:
    """Return what a box needs of this test run's Python, and where it is to lie.

    Moved, since a service finds nothing below /root and /home; one that came with the
    system stays where it is.
    """
    found = {Path(sysconfig.get_path("purelib")): _PACKAGES, SOURCE: _SOURCE}
    if _python_is_moved():
        found[Path(sys.base_prefix)] = _PYTHON
    return found


class Service:
    """`jobsd.service` in a box, with whatever configuration a test gives it."""

    def __init__(self, box: Inside, name: str = "jobsd") -> None:
        self.box = box
        self.name = name

    def install(self) -> None:
        """Install program, units, user and folders, as a package would."""
        self.box.write("/usr/bin/jobsd", _program(), 0o755)
        for unit in ("jobsd.service", "jobsd@.service"):
            self.box.write(f"/etc/systemd/system/{unit}", (UNITS / unit).read_text())
        for kind in ("sysusers", "tmpfiles"):
            text = (UNITS / f"jobsd.{kind}").read_text()
            self.box.write(f"/usr/lib/{kind}.d/jobsd.conf", text)
        self.box.run("systemd-sysusers", "jobsd.conf")
        self.box.run("systemd-tmpfiles", "--create", "jobsd.conf")
        self.box.run("install", "-d", "-o", "jobsd", "-g", "jobsd", "/var/lib/jobsd")
        self.box.write("/var/lib/jobsd/service_jobs.py", JOBS)

    def configure(self, queue: str = "", drop_in: str = "", **environ: str) -> None:
        """Set queue.yml, lines of [Service], and variables; whatever was set before is gone."""
        self.box.write("/etc/jobsd/queue.yml", f"import: [service_jobs]\n{queue}")
        self.box.run("chgrp", "jobsd", "/etc/jobsd/queue.yml")
        self.box.write("/etc/jobsd/env", "".join(f"{k}={v}\n" for k, v in environ.items()))
        folder = f"/etc/systemd/system/{self.name}.service.d"
        self.box.write(f"{folder}/test.conf", drop_in)
        self.box.run("systemctl", "daemon-reload")

    def begin(self) -> None:
        """Be as after a boot: stopped, never failed, and with nothing in the journal."""
        self.control("stop")
        self.box.run("systemctl", "reset-failed", self.name, check=False)
        self.box.run("journalctl", "--rotate", "--vacuum-time=1us", "--quiet")
        self.box.run("rm", "-f", "/var/lib/jobsd/began", "/var/lib/jobsd/ended")

    def control(self, verb: str, *, succeeds: bool = True) -> str:
        """Tell systemd to do something with the service; return what it says."""
        done = self.box.run("systemctl", verb, self.name, check=False)
        assert (done.returncode == 0) is succeeds, f"{done.stderr}{self.reported()}"
        return done.stderr

    def show(self, *properties: str) -> list[str]:
        """Return properties of the unit."""
        words = [f"--property={name}" for name in properties]
        lines = self.box.ask("systemctl", "show", self.name, *words).splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[name] for name in properties]

    @property
    def pid(self) -> int:
        """The main process, 0 when there is none."""
        return int(self.show("MainPID")[0])

    def wait_state(self, active: str, sub: str = "", within_s: float = 20.0) -> None:
        """Wait until the unit is in a state."""

        def reached() -> bool:
            now = self.show("ActiveState", "SubState")
            return now[0] == active and sub in {"", now[1]}

        wait_until(reached, within_s, f"{active} {sub}, but {self.status()}")

    def wait_successor(self, pid: int, within_s: float = 20.0) -> int:
        """Wait until another main process is active; return it."""

        def successor() -> int:
            state, now = self.show("ActiveState", "MainPID")
            return int(now) if state == "active" and int(now) not in {0, pid} else 0

        found: int = wait_until(successor, within_s, f"a successor of {pid}; {self.reported()}")
        return found

    def signal(self, name: str, pid: int) -> None:
        """Send a signal to a process of the box."""
        self.box.run("kill", f"-{name}", str(pid))

    def journal(self) -> list[dict[str, Any]]:
        """Return what the journal has of the service, systemd's own words among it."""
        self.box.run("journalctl", "--sync")
        text = self.box.ask("journalctl", "--unit", self.name, "--output=json", "--all")
        return [json.loads(line) for line in text.splitlines()]

    def records(self) -> list[dict[str, Any]]:
        """Return what the service itself has logged, each as it was parsed."""
        ours = (e for e in self.journal() if e.get("_SYSTEMD_UNIT") == f"{self.name}.service")
        return [json.loads(e["MESSAGE"]) for e in ours if e["MESSAGE"].startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the records of one kind."""
        return [record for record in self.records() if record["event"] == name]

    def status(self) -> str:
        """Return what an operator would look at."""
        return self.box.ask("systemctl", "status", "--no-pager", "--lines=0", self.name)

    def reported(self) -> str:
        """Return the end of the journal as text."""
        words = ("--unit", self.name, "--no-pager", "--lines=200", "--output=cat")
        return self.box.ask("journalctl", *words)

    def command(self, *words: str) -> str:
        """Run a command of the program as the service's user, in its environment."""
        line = f"set -a; . /etc/jobsd/env; exec jobsd {shlex.join(words)}"
        as_user = ("setpriv", "--reuid=jobsd", "--regid=jobsd", "--init-groups", "--")
        environ = ("env", "-C", "/var/lib/jobsd", "JOBSD_CONFIG=/etc/jobsd/queue.yml")
        self.box.run("chmod", "a+r", "/etc/jobsd/env")
        return self.box.run(*as_user, *environ, "sh", "-c", line).stdout

    def exists(self, name: str) -> bool:
        """Return whether a job has left this file."""
        return not self.box.run("test", "-e", f"/var/lib/jobsd/{name}", check=False).returncode


def _python_is_moved() -> bool:
    return Path(sys.base_prefix) not in {Path("/usr"), Path("/usr/local")}


def _program() -> str:
    python = Path(sys.executable).resolve()
    if _python_is_moved():
        python = _PYTHON / python.relative_to(Path(sys.base_prefix).resolve())
    return f"""\
#!/bin/sh
export LD_LIBRARY_PATH={_PYTHON}/lib PYTHONPATH={_SOURCE}/src:{_PACKAGES}
exec {python} -P -m jobsd.daemon "$@"
"""
