"""One program beside another: what it gets from us, and how its end is judged."""

from __future__ import annotations

import os
import signal

import pytest

from jobsd.daemon.web_companion.sibling import Exit, Sibling, tree, web_server

OURS = {"PATH": os.environ["PATH"]}


def _exit(sibling: Sibling) -> Exit:
    _, status = os.waitpid(sibling.pid, 0)
    return sibling.reaped(status)


def test_signals_of_an_earlier_life_excuse_no_later_death() -> None:
    sibling = Sibling(["sh", "-c", "kill -TERM $$"], OURS)
    sibling.sent.add(signal.SIGTERM)
    sibling.start()

    assert _exit(sibling) == Exit(128 + signal.SIGTERM, signal.SIGTERM)


def test_a_program_that_systemd_is_said_to_have_started_is_said_to_be_it() -> None:
    environ = {**OURS, "SYSTEMD_EXEC_PID": str(os.getpid())}
    sibling = Sibling(["sh", "-c", 'test "$SYSTEMD_EXEC_PID" = $$'], environ)
    sibling.start()

    assert _exit(sibling) == Exit(0)


@pytest.mark.parametrize("name", ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"])
def test_the_tree_notifies_systemd_and_the_web_server_does_not(name: str) -> None:
    given = {name: "1", "OTHER": "2"}

    assert (name in tree((), given).environ) is (name != "WATCHDOG_PID")
    assert web_server(["true"], given).environ == {"OTHER": "2"}
