"""Two programs beside each other: how they end, which signals reach which."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until
from web_servers.shells import TREE, WEB, Shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system
S = signal.Signals


@pytest.mark.failure(
    "the tree beside a web server crashes",
    "it is started again, and the web server continues",
)
def test_a_crashed_tree_is_started_again(tmp_path: Path) -> None:
    tree = (
        """
note("tree begins")
if open(os.environ["NOTES"]).read().count("tree begins") < 3: os.kill(os.getpid(), 9)
"""
        + TREE
    )
    with Shell(tmp_path, tree) as shell:
        shell.wait_notes("tree up", "web up")

        crashes = shell.events("tree.crashed")
        assert [each["signal"] for each in crashes] == ["SIGKILL"] * 2
        assert 0 < crashes[0]["wait_s"] < crashes[1]["wait_s"]
        assert shell.notes.count("web up") == 1


@pytest.mark.behaviour(89)
@pytest.mark.parametrize("status", [0, 75, 78])
def test_an_orderly_end_of_the_tree_ends_the_web_server(tmp_path: Path, status: int) -> None:
    tree = f"""
while "web up" not in open(os.environ["NOTES"]).read(): time.sleep(0.01)
sys.exit({status})
"""
    with Shell(tmp_path, tree) as shell:
        assert shell.wait() == status
        assert shell.notes == ["web up", "web SIGTERM"]


@pytest.mark.behaviour(89)
def test_the_end_of_the_web_server_drains_the_tree(tmp_path: Path) -> None:
    web = """
while "tree up" not in open(os.environ["NOTES"]).read(): time.sleep(0.01)
sys.exit(3)
"""
    with Shell(tmp_path, TREE.replace('ends("tree")', 'ends("tree", 5)'), web) as shell:
        assert shell.wait() == 3
        assert shell.notes == ["tree up", "tree SIGTERM"]
        assert shell.events("tree.exited")[0]["exit_status"] == 5


@pytest.mark.parametrize("number", [S.SIGTERM, S.SIGINT, S.SIGQUIT])
def test_what_stops_reaches_both(tmp_path: Path, number: signal.Signals) -> None:
    with Shell(tmp_path) as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(number)

        assert shell.wait() == 0
        assert sorted(shell.notes[2:]) == [f"tree {number.name}", f"web {number.name}"]


def test_a_web_server_that_dies_of_our_signal_has_ended_in_order(tmp_path: Path) -> None:
    with Shell(tmp_path, web='note("web up")\nwait()') as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(S.SIGTERM)

        assert shell.wait() == 0


def test_a_reload_reaches_a_web_server_that_handles_it(tmp_path: Path) -> None:
    with Shell(tmp_path, web='on("web", S.SIGHUP)\n' + WEB) as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(S.SIGHUP)

        shell.wait_notes("tree SIGHUP", "web SIGHUP")
        assert shell.events("signal.withheld") == []


def test_a_reload_does_not_kill_a_web_server_without_a_handler(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(S.SIGHUP)

        shell.wait_notes("tree SIGHUP")
        wait_until(lambda: shell.events("signal.withheld"), 10)
        assert shell.events("signal.withheld")[0]["signal"] == "SIGHUP"
        shell.send(S.SIGTERM)
        shell.wait_notes("web SIGTERM")


def test_a_reload_waits_for_a_tree_that_still_boots(tmp_path: Path) -> None:
    tree = (
        """
note("tree boots")
while "go on" not in open(os.environ["NOTES"]).read(): time.sleep(0.01)
"""
        + TREE
    )
    with Shell(tmp_path, tree) as shell:
        shell.wait_notes("tree boots", "web up")

        shell.send(S.SIGHUP)

        wait_until(lambda: shell.events("signal.withheld"), 10)
        with (tmp_path / "notes").open("a") as notes:
            notes.write("go on\n")
        shell.wait_notes("tree up", "tree SIGHUP")


def test_signals_of_the_supervisor_reach_the_tree_alone(tmp_path: Path) -> None:
    numbers = [S.SIGUSR1, S.SIGUSR2, S.SIGTTIN, S.SIGTTOU]
    names = " ".join(f"S.{each.name}," for each in numbers)
    with Shell(tmp_path, web=f'on("web", {names})\n' + WEB) as shell:
        shell.wait_notes("tree up", "web up")

        for number in numbers:
            shell.send(number)
            shell.wait_notes(f"tree {number.name}")

        assert not [each for each in shell.notes if each.startswith("web SIG")]


def test_a_web_server_without_a_handler_of_quit_gets_term_instead(tmp_path: Path) -> None:
    web = """
signal.signal(S.SIGTERM, lambda *_: (note("web SIGTERM"), sys.exit(0)))
note("web up")
wait()
"""
    with Shell(tmp_path, web=web) as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(S.SIGQUIT)

        assert shell.wait() == 0
        assert sorted(shell.notes[2:]) == ["tree SIGQUIT", "web SIGTERM"]


@pytest.mark.failure(
    "the program that runs tree and web server is killed",
    "both end in order",
)
def test_both_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        shell.wait_notes("tree up", "web up")

        shell.process.kill()

        shell.wait_notes("tree SIGTERM", "web SIGTERM")


def test_a_tree_that_ignores_its_end_is_killed(tmp_path: Path) -> None:
    tree = """
signal.signal(S.SIGTERM, S.SIG_IGN)
note("tree up")
wait()
"""
    with Shell(tmp_path, tree, grace_s=0.2) as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(S.SIGTERM)

        assert shell.wait() == 0
        assert shell.events("tree.exited")[0]["signal"] == "SIGKILL"


def test_a_web_server_that_ignores_its_end_is_killed(tmp_path: Path) -> None:
    web = """
signal.signal(S.SIGTERM, S.SIG_IGN)
note("web up")
wait()
"""
    with Shell(tmp_path, web=web, grace_s=0.2) as shell:
        shell.wait_notes("tree up", "web up")

        shell.send(S.SIGTERM)

        assert shell.wait() == 0
        assert shell.events("web_server.exited")[0]["signal"] == "SIGKILL"


def test_a_web_server_that_another_program_has_ended_has_failed(tmp_path: Path) -> None:
    web = """
while "tree up" not in open(os.environ["NOTES"]).read(): time.sleep(0.01)
os.kill(os.getpid(), S.SIGTERM)
"""
    with Shell(tmp_path, web=web) as shell:
        assert shell.wait() == 128 + S.SIGTERM
        assert shell.notes == ["tree up", "tree SIGTERM"]
