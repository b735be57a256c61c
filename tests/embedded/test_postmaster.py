"""What is known of a server's process, without a server."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.embedded import Location, Server, locks, postmaster
from jobsd.embedded.postmaster import Postmaster
from jobsd.errors import DatabaseUnreachableError, EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@contextlib.contextmanager
def _process(*arguments: str, name: str = "postgres", ignores: str = "") -> Generator[int]:
    """Run a process of this name until the end of the block; yield its id."""
    program = "print(flush=True); input()"
    if ignores:
        # Nothing else is ignored: a shell's job in the background is born deaf to SIGQUIT.
        only = f"s.signal(s.SIGQUIT, s.SIG_DFL); s.signal(s.{ignores}, s.SIG_IGN)"
        program = f"import signal as s; {only}; {program}"
    command = [name, "-c", program, *arguments]
    with subprocess.Popen(
        command, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.mark.parametrize(("folder", "is_ours"), [("data", True), ("elsewhere", False)])
def test_a_server_of_another_folder_is_not_ours(
    tmp_path: Path, folder: str, *, is_ours: bool
) -> None:
    with _process("-D", str(tmp_path / folder)) as pid:
        assert postmaster._may_serve(pid, tmp_path / "data") is is_ours


def test_another_program_that_has_got_the_id_is_no_server(tmp_path: Path) -> None:
    with _process("-D", str(tmp_path), name="other") as pid:
        assert not postmaster._may_serve(pid, tmp_path)


def test_a_process_that_waits_to_be_reaped_does_not_run() -> None:
    with _process() as pid:
        while_it_runs = postmaster.is_alive(pid)
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    unreaped = postmaster.is_alive(process.pid)
    process.wait()

    assert (while_it_runs, unreaped) == (True, False)


def test_the_kernel_does_not_prefer_the_server_when_memory_is_short() -> None:
    with _process() as pid:
        score = Path(f"/proc/{pid}/oom_score_adj")
        score.write_text("500")

        postmaster._protect_from_oom(pid)

        assert int(score.read_text()) == 0


@pytest.mark.parametrize(("state", "is_waited_for"), [(3, True), (6, False), (None, True)])
def test_a_stop_cuts_no_server_short_that_may_be_at_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: int | None, *, is_waited_for: bool
) -> None:
    place = Location(tmp_path)
    if state is not None:
        (place.data / "global").mkdir(parents=True)
        control = bytes(16) + state.to_bytes(4, sys.byteorder) + bytes(100)
        (place.data / "global/pg_control").write_bytes(control)
    monkeypatch.setattr(postmaster, "STUCK_S", 0.0)

    with _process(ignores="SIGINT") as pid:
        if is_waited_for:
            with pytest.raises(EmbeddedServerError, match="has been stopping for"):
                postmaster.end(pid, place, timeout_s=0.2)
        else:
            postmaster.end(pid, place, timeout_s=20)

        assert postmaster.is_alive(pid) is is_waited_for


def test_nobody_waits_for_a_server_that_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter(("starting", "stopping", "ready"))

    def found(_: Location) -> Postmaster:
        return Postmaster(os.getpid(), next(states))

    monkeypatch.setattr(postmaster, "find_running", found)

    assert not Server(Location(tmp_path), {}, lambda _: 0).wait_until_ready()


def test_a_wait_for_the_lock_of_a_directory_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, reported = Location(tmp_path), list[str]()

    def times(_: float) -> Iterator[float]:
        return iter((0.0, 1.1, 1.2, 1.3))

    monkeypatch.setattr(locks, "poll_times", times)

    with (
        locks.directory_lock(place, 1.0, reported.append),
        pytest.raises(EmbeddedServerError, match="another process has been starting"),
        locks.directory_lock(place, 1.0, reported.append),
    ):
        pass

    assert reported == ["waiting for another process that starts or stops PostgreSQL"]


@pytest.mark.parametrize(("newest", "lines"), [(20, ("start", "log")), (5, ("start",))])
def test_a_log_older_than_the_last_start_is_not_quoted(
    tmp_path: Path, newest: int, lines: tuple[str, ...]
) -> None:
    place = Location(tmp_path)
    place.logs.mkdir()
    for path, text, at in (
        (place.start_log, "start", 10),
        (place.logs / "postgresql-Mon.log", "log", newest),
    ):
        path.write_text(f"{text}\n")
        os.utime(path, (at, at))

    assert postmaster.last_lines(place) == lines


def test_of_a_long_log_the_last_lines_without_notes_are_quoted(tmp_path: Path) -> None:
    place = Location(tmp_path)
    notes = [
        "LOG:  redirecting log output to logging collector process",
        'HINT:  Future log output will appear in directory "../log".',
    ]
    place.start_log.write_text("\n".join([*map(str, range(20)), *notes]))

    assert postmaster.last_lines(place) == tuple(map(str, range(10, 20)))


def test_a_lock_ends_though_a_child_has_a_copy_of_its_file(tmp_path: Path) -> None:
    place, reported = Location(tmp_path), list[str]()
    with locks.directory_lock(place, 0.0, reported.append):
        # As a fork copies it.
        copy = os.dup(next(_descriptors_of(tmp_path / "start.lock")))
    try:
        with locks.directory_lock(place, 0.0, reported.append):
            pass
    finally:
        os.close(copy)


def test_a_share_that_could_not_be_had_leaves_no_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr("fcntl.lockf", refuse)
    with pytest.raises(EmbeddedServerError, match="another supervisor") as caught:
        locks.Hold(Location(tmp_path), 0.0)

    assert caught.value.where == tmp_path
    assert list(_descriptors_of(tmp_path / "supervisors.lock")) == []


def _descriptors_of(path: Path) -> Iterator[int]:
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if each.readlink() == path:
                yield int(each.name)


def test_a_share_that_is_given_back_twice_closes_no_other_file(tmp_path: Path) -> None:
    hold = locks.Hold(Location(tmp_path), 1.0)
    hold.release()
    with (tmp_path / "another").open("w") as other:
        hold.release()

        assert os.fstat(other.fileno()).st_nlink == 1


@pytest.mark.parametrize(
    ("answers", "used"), [((1, 0), False), ((), True)], ids=["closing", "unknown"]
)
def test_a_server_with_unknown_clients_counts_as_used_and_with_closing_ones_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[int, ...], *, used: bool
) -> None:
    left, reported = list(answers), list[str]()

    def running(_: Location) -> Postmaster:
        return Postmaster(os.getpid(), "ready")

    def other_clients(_: str) -> int:
        if not left:
            raise DatabaseUnreachableError("no answer")
        return left.pop(0)

    monkeypatch.setattr(postmaster, "find_running", running)
    server = Server(Location(tmp_path), {}, other_clients, reported.append)

    assert server._has_clients() is used
    assert len(reported) == (not answers)
