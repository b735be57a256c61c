"""The second reading, the second lack and the second tree of what has come into queues."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from jobsd.metrics.figures import Arrived, DatabaseFigures
from jobsd.supervisor.monitor import arrivals
from jobsd.supervisor.monitor.arrivals import LACK_S, STATEMENTS, Arrivals

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows


class Readings:
    """The arrivals of one monitor, a clock to turn, and the statements it sends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr(arrivals, "monotonic", lambda: self.now_s)
        self.arrivals = Arrivals()
        self.sent: list[Any] = []
        self.session = cast("Session", SimpleNamespace(fetch=self._fetch))

    def read(self, stored: dict[str, Arrived], **depths: int) -> None:
        ready = {queue: {"ready": jobs} for queue, jobs in depths.items()}
        figures = DatabaseFigures(ready, {}, {}, {}, {}, {}, arrivals=stored)
        self.arrivals.update(self.session, figures, {} if depths else None)

    def stored_rows(self) -> list[Any]:
        return [row for given in self.sent if given for row in json.loads(given["rows"])]

    def _fetch(self, statement: object, given: Any = None) -> list[Any]:
        self.sent.append(given)
        assert given or statement == STATEMENTS["clear"]
        return []


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    return Readings(monkeypatch)


def test_the_rate_is_that_of_the_last_five_minutes(readings: Readings) -> None:
    for enqueued in (0, 1_000, 1_150, 1_200):
        readings.read({"mail": Arrived(0, 0, enqueued)})
        readings.now_s += 200

    assert readings.arrivals.rate("mail") == (1_200 - 1_000) / 400


def test_a_queue_that_the_first_reading_did_not_know_has_no_rate(readings: Readings) -> None:
    readings.read({"mail": Arrived(0, 0, 1)})
    readings.now_s += 60
    readings.read({"mail": Arrived(0, 0, 61), "new": Arrived(0, 0, 6_000)})

    assert (readings.arrivals.rate("mail"), readings.arrivals.rate("new")) == (1.0, 0.0)


def test_a_second_lack_is_added_to_the_first_and_lasts_as_long(readings: Readings) -> None:
    readings.read({"mail": Arrived(0, 0, 10)}, mail=7)
    readings.now_s += LACK_S
    readings.read({"mail": Arrived(0, 0, 10)}, mail=7)
    readings.read({"mail": Arrived(0, 3, 10)}, mail=5)
    (first,) = readings.stored_rows()
    readings.now_s += LACK_S
    readings.read({"mail": Arrived(0, 3, 10)}, mail=5)

    assert first["gone"] == 3
    assert readings.stored_rows()[1:] == [{"name": "mail", "gone": 5, "enqueued": 10}]


@pytest.mark.parametrize("room", [1, 2])
def test_rows_are_cleared_only_where_the_room_for_them_is_full(
    readings: Readings, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(arrivals, "QUEUES_MAX", room)
    readings.read({"mail": Arrived(0, 0, 1)}, mail=1)

    assert readings.sent == ([None] if room == 1 else [])


def test_what_another_tree_has_stored_meanwhile_does_not_decrease(
    session: Session, rows: Rows
) -> None:
    for gone, enqueued in ((4, 9), (2, 8)):
        given = json.dumps([{"name": "mail", "gone": gone, "enqueued": enqueued}])
        session.fetch(STATEMENTS["store"], {"rows": given})

    assert rows("SELECT ARRAY[gone, enqueued] FROM jobsd.arrivals") == [[4, 9]]


def test_only_rows_of_queues_without_a_job_for_30_days_are_cleared(
    session: Session, rows: Rows
) -> None:
    rows(
        "INSERT INTO jobsd.arrivals (queue_name, enqueued, changed_at)"
        " SELECT name, 1, now() - '31 days'::interval FROM unnest('{old,used}'::text[]) AS name"
    )
    used = [{"name": name, "gone": 0, "enqueued": 2} for name in ("new", "used")]
    session.fetch(STATEMENTS["store"], {"rows": json.dumps(used)})
    session.fetch(STATEMENTS["clear"])

    assert sorted(rows("SELECT queue_name FROM jobsd.arrivals")) == ["new", "used"]
