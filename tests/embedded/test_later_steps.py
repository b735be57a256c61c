"""How an embedded server is stopped, and what is known of one that has ended."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from jobsd.embedded import Location, Server, folders, locks, postmaster
from jobsd.embedded.binaries import Binaries
from jobsd.embedded.postmaster import Postmaster
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = 10_000
ANOTHER = 20_000


class _Played:
    """A server's process, as it is found, and the times at which somebody looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid, self.status = OURS, "ready"
        self.lives = [True]
        self.times: tuple[float, ...] = (0.0,)
        self.sent: list[signal.Signals] = []
        monkeypatch.setattr(postmaster, "find_running", self._found)
        monkeypatch.setattr(postmaster, "is_alive", self._is_alive)
        monkeypatch.setattr(postmaster, "_signal", self._signal)
        monkeypatch.setattr(locks, "poll_times", self._times)

    def _found(self, _: Location) -> Postmaster | None:
        return Postmaster(self.pid, self.status) if self.status else None

    def _is_alive(self, _: int) -> bool:
        return self.lives.pop(0) if len(self.lives) > 1 else self.lives[0]

    def _signal(self, pid: int, number: signal.Signals) -> None:
        assert pid == OURS
        self.sent.append(number)

    def _times(self, _: float) -> Iterator[float]:
        return iter(self.times)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> _Played:
    """A server that runs and is ready."""
    return _Played(monkeypatch)


def test_a_stop_that_is_cut_short_is_cut_short_once(tmp_path: Path, played: _Played) -> None:
    place = Location(tmp_path)
    (place.data / "global").mkdir(parents=True)
    (place.data / "global/pg_control").write_bytes(bytes(200))
    played.times = (0.0, postmaster.STUCK_S - 1, *(postmaster.STUCK_S + n for n in (1, 2, 3)))

    with pytest.raises(EmbeddedServerError, match="has been stopping"):
        postmaster.end(OURS, place, 30.0)

    assert played.sent == [signal.SIGINT, signal.SIGQUIT]


@pytest.mark.parametrize(
    ("left", "status", "crashed"),
    [
        ("PG_VERSION", "", False),
        ("postmaster.pid", "ready", False),
        ("postmaster.pid", "", True),
    ],
)
def test_a_server_has_crashed_that_has_left_its_file_and_runs_no_more(
    tmp_path: Path, played: _Played, left: str, status: str, *, crashed: bool
) -> None:
    place, played.status = Location(tmp_path), status
    place.data.mkdir()
    (place.data / left).touch()

    assert Server(place, {}, lambda _: 0).crashed() is crashed


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "start.lock").symlink_to("secret")

    with pytest.raises(OSError, match="symbolic links"):
        folders.open_lock(tmp_path / "start.lock")


@pytest.mark.parametrize(
    ("library", "have"),
    [
        ("lib/pg_stat_statements.so", True),
        ("lib/postgresql/pg_stat_statements.so", True),
        ("lib/other.so", False),
    ],
)
def test_statistics_are_found_where_builds_and_distributions_have_them(
    tmp_path: Path, library: str, *, have: bool
) -> None:
    file = tmp_path / library
    file.parent.mkdir(parents=True)
    file.touch()

    assert Binaries(tmp_path / "bin", 18).have_statistics is have
