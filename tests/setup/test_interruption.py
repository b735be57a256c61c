"""First runs that were cut short, as an ordinary user where we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from kept import kept_folder
from setup.machine import PROBE_STATUS, Clone, find_python, finish, make_clone
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "" if os.geteuid() else "nobody"


@pytest.fixture
def clone() -> Iterator[Clone]:
    """A clone of an ordinary user's, who has no home, with Python 3.13 where there is one."""
    python = find_python("3.13", _USER) or find_python("3.11", _USER)
    if not python:
        pytest.skip("an ordinary user finds no Python here")
    top = kept_folder("jobsd-setup-")
    make_clone(top / "clone")
    (top / "tmp").mkdir()  # a pip that is killed leaves files there
    if _USER:
        for path in top.rglob("*"):
            os.chown(path, pwd.getpwnam(_USER).pw_uid, -1, follow_symlinks=False)
    names = {"HOME": "/nonexistent", "JOBSD_PYTHON": python, "TMPDIR": str(top / "tmp")}
    yield Clone(top / "clone", _USER, names=names)
    shutil.rmtree(top)


@pytest.mark.failure(
    "The first run was killed while it made the environment.",
    "The next run makes it again.",
)
def test_a_half_made_environment_is_made_again(clone: Clone) -> None:
    first = clone.begin("bin/jobs")
    wait_until(lambda: any(clone.venv.glob("lib/python*/site-packages/pip")))
    os.killpg(first.pid, signal.SIGKILL)
    finish(first)
    assert not clone.stamp.exists()

    second = clone.run("bin/jobs")

    assert second.status == PROBE_STATUS
    assert "jobsd: .venv is half made; making it anew (about 20 s) ...\n" in second.err


def test_a_start_with_only_its_shell_killed_is_waited_for(clone: Clone) -> None:
    first = clone.begin("bin/jobs")
    wait_until((clone.venv / "setup.log").exists)
    first.kill()
    second = clone.run("bin/jobs")
    finish(first)

    assert second.status == PROBE_STATUS
    assert second.err == (
        "jobsd: waiting for another start that is preparing .venv ...\n"
        "jobsd: .venv is half made; making it anew (about 20 s) ...\n"
    )


@pytest.mark.failure(
    "The first run gets a signal that asks it to end while it installs",
    "It ends at once, with all that it has started.",
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_first_run_at_once(clone: Clone, number: signal.Signals) -> None:
    first = clone.begin("bin/jobs")
    wait_until((clone.venv / "setup.log").exists)
    first.send_signal(number)

    wait_until(lambda: first.poll() is not None, within_s=5)
    assert first.returncode == 128 + number
    assert not clone.stamp.exists()
    finish(first)


def test_a_failed_first_run_leaves_nothing_but_its_reason(clone: Clone) -> None:
    run = clone.run("bin/jobs", PIP_NO_INDEX="1", PIP_FIND_LINKS="")

    assert run.status == 1
    assert "No matching distribution found for setuptools" in run.err
    assert not clone.venv.exists()


@pytest.mark.skipif(not _USER, reason="only root can lay out what another can't write to")
@pytest.mark.parametrize("place", [".", ".venv", ".venv/lib"])
def test_a_read_only_folder_is_left_and_reported_with_its_remedy(
    clone: Clone, place: str
) -> None:
    shut = clone.folder / place
    if place.startswith(".venv"):
        clone.venv.mkdir()
        shutil.chown(clone.venv, _USER)
    shut.mkdir(exist_ok=True)
    shutil.chown(shut, 0)

    run = clone.run("bin/jobs")

    assert run.status == 78
    assert run.err == (
        f"jobsd: .venv is missing or out of date, and {_USER} can't write {shut}:"
        " give it the right, or run bin/jobs once as root, the owner\n"
    )
    assert shut.exists()
