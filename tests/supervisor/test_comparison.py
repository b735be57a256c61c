"""The monitor compares the tree's database with the application's, if a start could not."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.database.connection import Target
from jobsd.errors import DatabaseUnreachableError
from jobsd.supervisor.monitor import one_database, schema
from waiting import wait_until

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder

NOWHERE = Target("postgresql://nowhere")
APPLIED = json.dumps(["postgresql://ann:5E5AME@shop/shop", "jobsd"])


class Databases:
    """A schema whose comparison answers `one`, at the time `now_s`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.asked, self.made = 1_000.0, 0, 0
        self.one: bool | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.schema = schema.Schema(NOWHERE, APPLIED)
        for module in (schema, one_database):
            monkeypatch.setattr(module, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(one_database, "are_one", self._are_one)
        monkeypatch.setattr("jobsd.database.migrate.bring_up", self._bring_up)

    def is_ready(self) -> bool:
        return self.schema.ready(lambda: None)

    def _are_one(self, *_: Target) -> bool:
        self.asked += 1
        assert self.answers.wait(60)
        if self.one is None:
            raise DatabaseUnreachableError("can't reach it")
        return self.one

    def _bring_up(self, *_: object) -> list[str]:
        self.made += 1
        return []


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Databases:
    return Databases(monkeypatch)


def test_nothing_is_made_in_another_database_than_that_of_the_application(
    databases: Databases, recorder: EventRecorder
) -> None:
    reported = recorder.facts("database.foreign")
    databases.one = False

    for _ in range(3):
        assert not databases.is_ready()
    databases.now_s += schema.AGAIN_S
    assert not databases.is_ready()

    assert (databases.asked, databases.made, len(reported)) == (2, 0, 1)
    assert "these are two" in str(reported)
    assert "5E5AME" not in str(reported)

    databases.one = True
    databases.now_s += schema.AGAIN_S
    assert databases.is_ready()
    assert databases.is_ready()
    assert (databases.asked, databases.made) == (3, 1)


def test_a_database_of_the_application_that_is_away_keeps_no_tree_waiting(
    databases: Databases, recorder: EventRecorder
) -> None:
    reported = recorder.facts("database.foreign")
    assert databases.is_ready()
    databases.answers.clear()

    # It is silent: the thread that asks it waits, and no other one is started.
    for _ in range(3):
        databases.now_s += one_database.AGAIN_S
        assert databases.is_ready()
    wait_until(lambda: databases.asked == 2, 10)

    databases.one = False
    databases.answers.set()
    wait_until(lambda: reported, 10)
    databases.now_s += one_database.AGAIN_S
    assert databases.is_ready()
    assert (databases.asked, len(reported)) == (2, 1)


def _asked_after(databases: Databases, seconds: float) -> int:
    """Return how often the databases were compared, once no comparison runs."""
    assert databases.is_ready()
    for thread in threading.enumerate():
        if thread.name == "comparison":
            thread.join(10)
    databases.now_s += seconds
    return databases.asked


def test_a_database_of_the_application_is_asked_each_five_seconds(databases: Databases) -> None:
    assert databases.is_ready()

    asked = [_asked_after(databases, one_database.AGAIN_S / 2) for _ in range(5)]

    assert asked == [2, 2, 3, 3, 4]
