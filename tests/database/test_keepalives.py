"""Our connections are kept alive on the network, unless whoever gives the URL knows better."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from database.firewall import firewall
from jobsd.database.connection import Session, Target

if TYPE_CHECKING:
    from pathlib import Path

_OPTIONS = {
    "idle": socket.TCP_KEEPIDLE,
    "interval": socket.TCP_KEEPINTVL,
    "count": socket.TCP_KEEPCNT,
    "unacknowledged": socket.TCP_USER_TIMEOUT,
}
_OURS = {"idle": 30, "interval": 10, "count": 3, "unacknowledged": 10_000}


def _kept_alive(url: str) -> dict[str, int]:
    """Return how the kernel keeps a connection of ours alive; nothing when it does not."""
    with contextlib.closing(Session(Target(url), "kept")) as session:
        wire = socket.socket(fileno=session.connection.fileno())
        try:
            if not wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
                return {}
            return {
                name: wire.getsockopt(socket.IPPROTO_TCP, option)
                for name, option in _OPTIONS.items()
            }
        finally:
            wire.detach()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, _OURS),
        ({"keepalives_idle": "300"}, _OURS | {"idle": 300}),
        ({"tcp_user_timeout": "2500"}, _OURS | {"unacknowledged": 2500}),
        ({"keepalives": "0"}, {}),
    ],
)
def test_keepalives_of_the_url_are_kept(
    server_url: str, said: dict[str, str], expected: dict[str, int]
) -> None:
    with firewall(server_url) as wall:
        assert _kept_alive(conninfo.make_conninfo(wall.url, **said)) == expected


def test_keepalives_of_a_service_file_are_kept(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with firewall(server_url) as wall:
        parts = conninfo.conninfo_to_dict(wall.url) | {"keepalives_idle": "77"}
        lines = "\n".join(f"{name}={value}" for name, value in parts.items())
        (tmp_path / "services").write_text(f"[queue]\n{lines}\n", encoding="utf-8")
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))

        assert _kept_alive("service=queue")["idle"] == 77
