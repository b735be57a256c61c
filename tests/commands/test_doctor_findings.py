"""What `doctor` makes of figures that a server of a test does not have."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jobsd import clock
from jobsd.daemon.cli import doctor
from jobsd.database.steps import latest_version

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def _answering(*row: object) -> Any:
    """Return a session of which each statement returns this row."""

    def fetch(*_: object) -> list[tuple[object, ...]]:
        return [row]

    def status(_: str) -> str:
        return "15.1"

    info = SimpleNamespace(server_version=150_001, parameter_status=status)
    return SimpleNamespace(
        fetch=fetch,
        connection=SimpleNamespace(info=info),
        target=SimpleNamespace(schema="jobsd"),
    )


@pytest.mark.parametrize(
    ("ahead_s", "took_s", "expected"),
    [
        (3600, 0, ("WARN", "behind")),
        (-3600, 0, ("WARN", "ahead")),
        (0, 0, ("OK", "")),
        # An answer that took long was given in the middle of that time.
        (-3, 6, ("OK", "")),
    ],
)
def test_a_clock_may_be_wrong_in_either_direction(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: int,
    took_s: int,
    expected: tuple[str, str],
) -> None:
    (level, words), now, readings = expected, clock.utc_now, itertools.count()

    def read() -> datetime:
        return now() + timedelta(seconds=ahead_s + next(readings) * took_s)

    monkeypatch.setattr(clock, "utc_now", read)

    found = doctor._clock(session)

    assert (found.level, words in found.message) == (level, True)


def test_only_connections_that_programs_can_have_count(session: Session) -> None:
    with session.connection.transaction():  # in which the server shows the same connections
        found = session.fetch(doctor.STATEMENTS["connections"])
        counted = session.connection.execute(
            "SELECT count(*) FILTER (WHERE backend_type = 'client backend'),"
            " (SELECT sum(setting::int) FILTER (WHERE name = 'max_connections')"
            " - sum(setting::int) FILTER (WHERE name = 'superuser_reserved_connections')"
            " FROM pg_settings)"
            " FROM pg_stat_activity"
        ).fetchall()

    assert found == counted


@pytest.mark.parametrize(("used", "level"), [(80, "OK"), (81, "WARN"), (96, "FAIL")])
def test_few_connections_that_are_left_are_a_warning_then_a_failure(
    used: int, level: str
) -> None:
    assert doctor._connections(_answering(used, 100)).level == level


@pytest.mark.parametrize(("standby", "level"), [(True, "FAIL"), (False, "OK")])
def test_a_standby_will_not_do(standby: bool, level: str) -> None:  # noqa: FBT001 - a case
    assert doctor._version(_answering(standby)).level == level


@pytest.mark.parametrize(("behind_oldest", "level"), [(0, "FAIL"), (1, "WARN")])
def test_older_tables_fail_only_if_this_program_can_not_use_them(
    monkeypatch: pytest.MonkeyPatch, behind_oldest: int, level: str
) -> None:
    before, oldest = latest_version() - 1, latest_version() - behind_oldest

    def found(_: object) -> int:
        return before

    def is_ours(*_: object) -> None:
        pass

    monkeypatch.setattr(doctor, "version", found)
    monkeypatch.setattr(doctor, "refuse_foreign", is_ours)
    monkeypatch.setattr(doctor, "oldest_supported", lambda: oldest)

    assert doctor._schema(_answering()).level == level


@pytest.mark.parametrize(("payload", "heard"), [("doctor", True), ("another", False)])
def test_only_its_own_notification_counts(
    monkeypatch: pytest.MonkeyPatch, payload: str, *, heard: bool
) -> None:
    monkeypatch.setattr(doctor, "_WAKE_UP_S", 0.05)
    listener: Any = SimpleNamespace(notifications=lambda: [payload], fileno=lambda: None)

    assert doctor._hears(listener) is heard


def test_wake_ups_that_do_not_arrive_are_a_failure(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hears_nothing(_: object) -> bool:
        return False

    monkeypatch.setattr(doctor, "_hears", hears_nothing)
    supervisor = SimpleNamespace(hang_timeout_s=10.0)
    project: Any = SimpleNamespace(options=SimpleNamespace(supervisor=supervisor))

    found = doctor._wake_ups(session, project)

    assert (found.level, found.message[:24]) == ("FAIL", "no notification came wit")
