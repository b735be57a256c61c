"""What is sent to systemd, and that nothing goes wrong where there is none."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.tree.launch import Readiness

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_arrive_by_path(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))

        Readiness({"NOTIFY_SOCKET": str(tmp_path / "notify")}).notify("READY=1\nSTATUS=up")

        assert receiver.recv(100) == b"READY=1\nSTATUS=up"


def test_lines_arrive_by_abstract_name() -> None:
    name = f"jobsd-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")

        Readiness({"NOTIFY_SOCKET": f"@{name}"}).notify("READY=1")

        assert receiver.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "relative", "@none", "x" * 300])
def test_a_socket_without_a_listener_is_no_error(address: str) -> None:
    Readiness({"NOTIFY_SOCKET": address}).notify("READY=1")


def test_a_receiver_without_room_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        readiness = Readiness({"NOTIFY_SOCKET": str(tmp_path / "notify")})

        for _ in range(2000):
            readiness.notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_counts_only_if_it_is_ours(
    environ: dict[str, str], watchdog_s: float | None
) -> None:
    assert Readiness(environ).watchdog_s == watchdog_s
