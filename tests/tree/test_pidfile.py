"""One supervisor for a pidfile, whatever the file says."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.tree.pidfile import Pidfile, PidfileHeld
from jobsd.errors import ConfigurationError
from kept import kept_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from jobsd.daemon.tree.pidfile import Pidfile
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
def test_the_second_supervisor_learns_the_pid_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "pid") as process:
        with pytest.raises(
            PidfileHeld, match=rf"another supervisor \(pid {process.pid}\) holds "
        ) as held:
            Pidfile(tmp_path / "pid")
        process.kill()

    assert held.value.pid == process.pid


def test_an_empty_locked_pidfile_is_held(tmp_path: Path) -> None:
    with holder(tmp_path / "pid") as process:
        (tmp_path / "pid").write_bytes(b"")
        with pytest.raises(PidfileHeld, match="another supervisor holds") as held:
            Pidfile(tmp_path / "pid")
        process.kill()

    assert held.value.pid is None


@pytest.mark.behaviour(10)
@pytest.mark.parametrize("content", [b"1\n", b"", b"  42", b"\0\0\0\0"])
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


@contextlib.contextmanager
def _acting_as(user: str) -> Generator[None]:
    os.seteuid(pwd.getpwnam(user).pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _second_name(path: Path) -> None:
    path.with_name("first").write_text("1\n")
    path.hardlink_to(path.with_name("first"))


OTHER_THINGS: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to("precious"),
    "a folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a socket": _bind,
    "has 2 hard links": _second_name,
    "a process id .14 bytes": lambda path: path.write_bytes(b"nonsense \xff \n1\n"),
    "a process id .100 bytes": lambda path: path.write_bytes(b"9" * 100),
}


@pytest.mark.failure(
    "what lies at the pidfile's path is a link, a FIFO, a device, a folder, a file of"
    " another user or one with more in it than a process id",
    "exit status 78; the error says what is there, and that is neither written nor removed",
)
@pytest.mark.parametrize("name", OTHER_THINGS)
def test_a_path_that_is_no_pidfile_is_refused_and_stays_unchanged(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "precious").write_text("42\n")
    OTHER_THINGS[name](tmp_path / "pid")
    before = (tmp_path / "pid").lstat()

    with pytest.raises(ConfigurationError, match=f"pidfile {tmp_path}/pid .*{name}"):
        Pidfile(tmp_path / "pid")

    assert (tmp_path / "pid").lstat() == before
    assert (tmp_path / "precious").read_text() == "42\n"


def test_the_target_of_a_dangling_link_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "pid").symlink_to("nowhere")

    with pytest.raises(ConfigurationError, match="it is a link"):
        Pidfile(tmp_path / "pid")

    assert not (tmp_path / "nowhere").exists()


def test_a_device_is_not_even_opened(tmp_path: Path) -> None:
    try:
        # Whoever opens this one gets an error: nothing drives it.
        os.mknod(tmp_path / "pid", 0o20666, os.makedev(240, 255))
    except PermissionError:
        pytest.skip("making a device needs a privilege that we don't have")

    with pytest.raises(ConfigurationError, match="it is a device"):
        Pidfile(tmp_path / "pid")

    assert (tmp_path / "pid").is_char_device()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_file_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("42\n")
    shutil.chown(tmp_path / "pid", "nobody")

    with pytest.raises(ConfigurationError, match=r"to the user with id \d+"):
        Pidfile(tmp_path / "pid")

    assert (tmp_path / "pid").read_text() == "42\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_writable_pidfile_left_by_root_is_taken_over() -> None:
    path = kept_folder("jobsd-test-pid-") / "pid"
    path.write_text("42\n")
    path.chmod(0o666)

    with _acting_as("nobody"):
        pidfile = Pidfile(path)

    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.release()


@pytest.mark.parametrize("successor", ["a file", "a link"])
def test_a_successor_under_the_name_of_the_pidfile_is_not_removed(
    tmp_path: Path, successor: str
) -> None:
    path = tmp_path / "pid"
    pidfile = Pidfile(path)
    path.rename(tmp_path / "moved")
    path.write_text("42\n") if successor == "a file" else path.symlink_to("moved")

    pidfile.release()

    assert path in tmp_path.iterdir()
