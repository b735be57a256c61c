"""`stop` ends the supervisor of this folder, and no other process."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.cli import cli
from jobsd.daemon.tree import supervisor_request
from jobsd.daemon.tree.supervisor_request import Answer, NotRunningError, ask, systemd_unit
from jobsd.supervisor.requests import PeerCredentials

if TYPE_CHECKING:
    from pathlib import Path

    from system.commands import Commands

pytestmark = pytest.mark.system


@pytest.mark.parametrize("arguments", [(), ("--now",)], ids=["", "now"])
def test_a_tree_has_ended_when_its_command_has(
    run: Commands, arguments: tuple[str, ...]
) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        done = run.json("stop", *arguments)

        assert (done["pid"], done["stopped"]) == (tree.process.pid, True)
        assert tree.process.wait(5) == 0
    assert run("status").returncode == 3


def test_stop_without_a_supervisor_ends_with_3(run: Commands) -> None:
    done = run("stop")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: no supervisor runs in ")


def test_of_several_one_must_be_named(run: Commands) -> None:
    with run.project.start() as first, run.project.start() as second:
        first.wait_event("supervisor.ready")
        second.wait_event("supervisor.ready")

        refused = run("stop")
        done = run("stop", "--pid", str(second.process.pid))

        assert (refused.returncode, done.returncode) == (6, 0)
        assert f"{second.process.pid}" in refused.stderr
        assert second.process.wait(5) == 0
        assert first.process.poll() is None
        assert run("stop").returncode == 0


@pytest.mark.parametrize(("uid", "answered"), [(54_321, False), (54_320, True)])
def test_a_socket_of_another_user_is_no_supervisor_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, *, answered: bool
) -> None:
    def bound(_: Path) -> list[socket.socket]:
        return [ours]

    def of_user(_: socket.socket) -> PeerCredentials:
        return PeerCredentials(42, uid, uid)

    monkeypatch.setattr(os, "geteuid", lambda: 54_320)
    monkeypatch.setattr(supervisor_request, "running", bound)
    monkeypatch.setattr(supervisor_request, "peer", of_user)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"status": 0}\n')
        if not answered:
            with pytest.raises(NotRunningError):
                ask("reload", tmp_path)
        else:
            assert ask("reload", tmp_path) == Answer(42, 0)


def test_a_supervisor_that_ends_while_it_is_asked_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bound(_: Path) -> list[socket.socket]:
        return [ours]

    monkeypatch.setattr(supervisor_request, "running", bound)
    ours, theirs = socket.socketpair()
    with ours:
        theirs.shutdown(socket.SHUT_WR)
        with theirs, pytest.raises(NotRunningError, match="has ended meanwhile"):
            ask("reload", tmp_path)


_SERVICE = "0::/system.slice/jobsd.service\n"


@pytest.mark.parametrize(
    ("comm", "session", "group", "ours", "unit"),
    [
        ("systemd", 42, _SERVICE, "0::/user.slice/session-3.scope\n", "jobsd.service"),
        ("systemd", 42, _SERVICE, "0::/system.slice/jobsd.service/.control\n", ""),
        ("systemd", 42, "0::/user.slice/session-3.scope\n", _SERVICE, ""),
        ("systemd", 7, _SERVICE, "0::/\n", ""),
        ("bash", 42, _SERVICE, "0::/\n", ""),
    ],
    ids=["service", "called by it", "a terminal", "nohup in a service", "a shell"],
)
def test_a_supervisor_of_systemd_is_distinguished_from_one_of_a_person(  # noqa: PLR0917 - a case
    tmp_path: Path, comm: str, session: int, group: str, ours: str, unit: str
) -> None:
    files = {
        "42/stat": f"42 (jobsd (x) supervisor) S 1 42 {session} 0 -1",
        "42/cgroup": group,
        "1/comm": f"{comm}\n",
        "self/cgroup": ours,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    assert systemd_unit(42, tmp_path) == unit


def test_what_systemd_runs_is_refused(
    run: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def under_systemd(_: int) -> str:
        return "jobsd.service"

    monkeypatch.setattr(supervisor_request, "systemd_unit", under_systemd)
    monkeypatch.chdir(run.project.root)
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        status = cli.run(["stop"])

        assert status == 6
        assert "use `systemctl stop jobsd.service`" in capsys.readouterr().err
        assert tree.process.poll() is None
