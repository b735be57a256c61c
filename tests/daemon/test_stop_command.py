"""`stop` ends the supervisor of this folder, and no other process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
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


def test_where_none_runs_it_ends_with_3(run: Commands) -> None:
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


@pytest.mark.parametrize(
    ("ours", "status"), [({}, 6), ({"INVOCATION_ID": "a1"}, 0)], ids=["person", "systemd"]
)
def test_what_systemd_runs_only_systemd_stops(
    run: Commands, ours: dict[str, str], status: int
) -> None:
    # The supervisor believes that systemd listens; that no one does, it bears.
    systemd = {"NOTIFY_SOCKET": "@jobsd-test-nobody", "INVOCATION_ID": "a1"}
    with run.project.start(**systemd) as tree:
        tree.wait_event("supervisor.ready")

        done = run("stop", **ours)

        assert done.returncode == status
        if status:
            assert "use `systemctl stop " in done.stderr
            assert tree.process.poll() is None
            assert run("stop", INVOCATION_ID="a1").returncode == 0
