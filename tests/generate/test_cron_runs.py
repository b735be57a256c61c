"""A real cron runs the crontab that `generate` writes, and mails what failed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.tree import ENDS_WITH_US
from jobsd.daemon.generate.new_project import write_project
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from system.commands import Commands

CLOCKS = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
# Mounts of its own: the crontabs of the machine are neither run nor changed. Cron alone has
# another clock, which is just before a minute.
CRON = """
mount -t tmpfs tmpfs /var/spool/cron
mount -t tmpfs tmpfs /etc/cron.d
mount -t tmpfs tmpfs /run
mount --bind /dev/null /etc/crontab
mkdir -m 700 /var/spool/cron/crontabs
install -m 600 "$0" /var/spool/cron/crontabs/root
export LD_PRELOAD="$1" FAKETIME='@2026-01-01 00:00:57' FAKETIME_DISABLE_SHM=1
export FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
exec crond -n -p -m "$2"
"""
TASKS = """
heartbeat: {class: HeartbeatJob, schedule: every minute}
broken: {class: shop_jobs.fail, schedule: every minute}
broken_command: {command: shop_jobs.fail(), schedule: every minute}
"""


@contextmanager
def _cron(crontab: Path, mailer: Path) -> Generator[psutil.Process]:
    """Run a cron with this crontab alone; nothing is left of it after the block."""
    spaces = ("--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
    words = ["unshare", *spaces, "sh", "-euc", CRON]
    words += map(str, (crontab, CLOCKS[0], mailer))
    with subprocess.Popen([*ENDS_WITH_US, *words]) as outside:
        try:
            yield psutil.Process(outside.pid)
        finally:
            outside.kill()


def _needed() -> list[str]:
    """Return what this machine lacks: cronie's crond can pass its mails to a program."""
    missing = [each for each in ("crond", "unshare", "flock") if not shutil.which(each)]
    missing += [] if CLOCKS else ["libfaketime"]
    return missing if os.geteuid() == 0 else ["root", *missing]


@pytest.mark.skipif(bool(_needed()), reason=f"needs {', '.join(_needed())} (Debian: cronie)")
def test_cron_mails_only_the_runs_that_failed(run: Commands, tmp_path: Path) -> None:
    write_project(run.project.root)
    run.project.write("config/recurring.yml", TASKS)
    written = run("generate", "crontab").stdout
    url = run.project.environ["DATABASE_URL"]
    crontab = run.project.write("crontab", f"DATABASE_URL={url}\n{written}")
    mails = tmp_path / "mails"
    mails.mkdir()
    mailer = tmp_path / "mailer"
    mailer.write_text(f'#!/bin/sh\ncat >{mails}/.$$ && mv {mails}/.$$ "{mails}/$$"\n')
    mailer.chmod(0o755)

    with _cron(crontab, mailer) as outside:

        def all_ran() -> bool:
            """Return whether each task has run, and no run is under way."""
            sent = len([each for each in mails.iterdir() if each.name[0] != "."])
            under_way = outside.children(recursive=True)[1:]
            return sent >= 2 and bool(run("heartbeat").stdout) and not under_way

        wait_until(all_ran, 100.0, "the runs of cron and their mails")

    texts = [each.read_text() for each in mails.iterdir()]
    ran = re.findall(r"^Subject: .* (perform|run) (\w+\S*)", "\n".join(texts), re.MULTILINE)
    assert set(ran) == {("perform", "shop_jobs.fail"), ("run", "broken_command")}
