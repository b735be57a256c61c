"""What the unit's sandbox does to jobs, as docs/guide/systemd-sandbox.md says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from waiting import wait_until

if TYPE_CHECKING:
    from .service import Service

DROP_INS = blocks(guide("systemd", "systemd-sandbox"), "ini")

TRIALS = '''
"""Jobs that try what the walls forbid, and write down how it ended."""
import ctypes, errno, json, os
from pathlib import Path
from jobsd import job

CLONE_NEWUSER = 0x10000000

def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def unshare():
    # Only a process with one thread may.
    pid = os.fork()
    if pid == 0:
        done = ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER)
        os._exit(ctypes.get_errno() if done else 0)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise OSError(code, "unshare")

ATTEMPTS = {
    "writes outside": lambda: Path("/srv/upload").touch(),
    "reads below /home": lambda: os.listdir("/home"),
    "makes a sandbox": unshare,
    "changes owners": lambda: os.chown("own", os.getuid(), os.getgid()),
    "sets its priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 5),
    "sees others": lambda: os.stat("/proc/1"),
    "writes at home": lambda: Path("own").touch(),
    "writes to /tmp": lambda: Path("/tmp/own").touch(),
}

@job
def attempt_all():
    Path("own").touch()
    reported = {name: outcome(attempt) for name, attempt in ATTEMPTS.items()}
    Path("reported.new").write_text(json.dumps(reported))
    os.rename("reported.new", "reported")
'''

EXPECTED = {
    "writes outside": "EROFS",
    "reads below /home": "EACCES",
    "makes a sandbox": "EPERM",
    "changes owners": "EPERM",
    "sets its priority": "EPERM",
    "sees others": "ENOENT",
    "writes at home": "done",
    "writes to /tmp": "done",
}

OPENED = """
[Service]
ReadWritePaths=/srv
ProtectHome=read-only
RestrictNamespaces=no
SystemCallFilter=@chown @resources
ProtectProc=default
"""


@pytest.mark.parametrize(
    ("drop_in", "expected"), [("", EXPECTED), (OPENED, dict.fromkeys(EXPECTED, "done"))]
)
def test_jobs_meet_the_walls_that_are_documented(
    service: Service, drop_in: str, expected: dict[str, str]
) -> None:
    box = service.box
    box.write("/var/lib/jobsd/trials.py", TRIALS)
    box.run("rm", "-f", "/var/lib/jobsd/reported")
    box.run("install", "-d", "-o", "jobsd", "/srv")
    service.configure(drop_in=drop_in, JOBSD_EMBEDDED="1")
    box.write("/etc/jobsd/queue.yml", "import: [trials]\n")
    service.control("start")

    service.command("enqueue", "trials.attempt_all")

    wait_until(lambda: service.exists("reported"), what=service.reported)
    assert json.loads(box.ask("cat", "/var/lib/jobsd/reported")) == expected


def test_the_documented_drop_ins_are_understood(service: Service) -> None:
    assert len(DROP_INS) == 3
    service.box.write("/srv/app/.venv/bin/jobsd", "#!/bin/sh\n", 0o755)
    for number, block in enumerate(DROP_INS):
        folder = "/etc/systemd/system/jobsd.service.d"
        service.box.write(f"{folder}/documented-{number}.conf", block)

    reported = service.box.run("systemd-analyze", "verify", "jobsd.service", check=False)

    service.box.run("sh", "-c", "rm /etc/systemd/system/jobsd.service.d/documented-*")
    assert (reported.returncode, reported.stdout + reported.stderr) == (0, "")
