"""One supervisor for a pidfile, whatever the file says."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.pidfile import Pidfile, PidfileHeld

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from jobsd.daemon.pidfile import Pidfile
pidfile = Pidfile(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds the file until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.behaviour(10)
def test_the_file_and_its_folders_are_made_and_name_us(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "pid"

    pidfile = Pidfile(path)

    content = path.read_text()
    os.close(pidfile.fd)
    assert content == f"{os.getpid()}\n"


@pytest.mark.behaviour(10)
def test_the_second_is_told_who_is_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "pid") as process:
        with pytest.raises(
            PidfileHeld, match=f"process {process.pid} is running already"
        ) as held:
            Pidfile(tmp_path / "pid")
        process.kill()

    assert held.value.pid == process.pid


def test_who_holds_it_without_saying_so_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path / "pid") as process:
        (tmp_path / "pid").write_bytes(b"")
        with pytest.raises(PidfileHeld, match="another process") as held:
            Pidfile(tmp_path / "pid")
        process.kill()

    assert held.value.pid is None


@pytest.mark.behaviour(10)
@pytest.mark.parametrize("content", [b"1\n", b"", b"nonsense \xff", b"9" * 100])
def test_what_an_earlier_process_has_left_there_is_ignored(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "pid").write_bytes(content)

    pidfile = Pidfile(tmp_path / "pid")

    os.close(pidfile.fd)
    assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"


@pytest.mark.behaviour(10)
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "pid") as process:
        process.send_signal(signal.SIGKILL)

    Pidfile(tmp_path / "pid").release()


@pytest.mark.behaviour(10)
def test_it_is_gone_afterwards(tmp_path: Path) -> None:
    Pidfile(tmp_path / "pid").release()

    assert not (tmp_path / "pid").exists()


def test_a_file_that_its_holder_has_removed_locks_nothing(tmp_path: Path) -> None:
    first = Pidfile(tmp_path / "pid")
    first.release()

    second = Pidfile(tmp_path / "pid")

    assert (tmp_path / "pid").read_text(encoding="ascii").strip() == str(os.getpid())
    second.release()


def test_a_disk_without_room_does_not_keep_us_from_starting(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        pidfile = Pidfile(tmp_path / "pid")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (tmp_path / "pid").read_bytes() == b""
    pidfile.release()
