"""Two programs beside each other in the foreground of a terminal, whose keys reach both."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from web_servers.shells import TREE, WEB, Shell

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.system
S = signal.Signals

_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
_NOTED = 'on("{0}", S.SIGINT)\nsignal.signal(S.SIGTERM, lambda *_: sys.exit(0))\n'
_DIES = "signal.signal(S.SIGINT, S.SIG_DFL)\n"
_WAITS = 'note("{0} up")\nwait()\n'
_CTRL_C = b"\x03"


class _Terminal:
    """Programs in a terminal, and its other end."""

    def __init__(self, shell: Shell, ours: int) -> None:
        self.shell, self._ours = shell, ours

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def hang_up(self) -> None:
        """Close it, as the end of a login by SSH does."""
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1


@contextlib.contextmanager
def _terminal(
    folder: Path, tree: str, web: str, *, grace_s: float = 10
) -> Generator[_Terminal]:
    ours, theirs = os.openpty()
    with Shell(folder, tree, web, stdin=theirs, prelude=_TAKE, grace_s=grace_s) as running:
        os.close(theirs)
        running.wait_notes("tree up", "web up")
        terminal = _Terminal(running, ours)
        try:
            yield terminal
        finally:
            terminal.hang_up()


def _both(setup: str) -> tuple[str, str]:
    tree, web = ((setup + _WAITS).format(name) for name in ("tree", "web"))
    return tree, web


def test_one_ctrl_c_counts_once(tmp_path: Path) -> None:
    with _terminal(tmp_path, *_both(_NOTED)) as terminal:
        shell = terminal.shell

        terminal.type(_CTRL_C)

        shell.wait_notes("tree SIGINT", "web SIGINT")
        shell.send(S.SIGTERM)
        assert shell.wait() == 0
        assert sorted(shell.notes[2:]) == ["tree SIGINT", "web SIGINT"]


def test_the_hang_up_of_a_terminal_is_no_request_to_reload(tmp_path: Path) -> None:
    with _terminal(tmp_path, *_both('on("{0}", S.SIGHUP)\nends("{0}")\n')) as terminal:
        shell = terminal.shell

        # The kernel sends HUP to us, the first process of the session, before this returns.
        terminal.hang_up()

        shell.send(S.SIGTERM)
        assert shell.wait() == 0
        assert sorted(shell.notes[2:]) == ["tree SIGTERM", "web SIGTERM"]


def test_programs_that_die_of_ctrl_c_have_ended_in_order(tmp_path: Path) -> None:
    with _terminal(tmp_path, *_both(_DIES)) as terminal:
        terminal.type(_CTRL_C)

        assert terminal.shell.wait() == 0


def test_a_tree_that_ignores_ctrl_c_is_killed(tmp_path: Path) -> None:
    tree, _ = _both(_NOTED)
    with _terminal(tmp_path, tree, WEB, grace_s=0.2) as terminal:
        terminal.type(_CTRL_C)

        terminal.shell.wait()
        assert terminal.shell.events("tree.exited")[0]["signal"] == "SIGKILL"


def test_a_web_server_that_ignores_ctrl_c_is_killed(tmp_path: Path) -> None:
    _, web = _both(_NOTED)
    with _terminal(tmp_path, TREE, web, grace_s=0.2) as terminal:
        terminal.type(_CTRL_C)

        terminal.shell.wait()
        assert terminal.shell.events("web_server.exited")[0]["signal"] == "SIGKILL"
