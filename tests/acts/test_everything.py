"""The pause of everything: stored once, resumed once, its tasks skipped or caught up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from jobsd.acts import everything, queues
from jobsd.database.connection import Session as Connection
from jobsd.errors import Error

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session, Target
    from rows import Rows

PLANNED = "SELECT planned_from < now() - interval '1 hour' FROM jobsd.recurring_tasks"


def test_a_pause_keeps_its_beginning_and_takes_a_new_reason(session: Session) -> None:
    assert everything.paused(session) is None
    assert everything.pause(session, "one", by="me") is True
    first = everything.paused(session)
    assert everything.pause(session, "two", by="you") is False
    assert everything.pause(session) is False

    pause = everything.paused(session)
    assert pause is not None
    assert first is not None
    assert (pause.reason, pause.created_by) == ("two", "me")
    assert pause.created_at == first.created_at


def test_only_what_is_paused_is_resumed(session: Session) -> None:
    everything.pause(session)

    assert everything.resume(session) is True
    assert everything.resume(session) is False
    assert everything.paused(session) is None


def test_the_pauses_of_queues_and_of_everything_are_apart(session: Session) -> None:
    everything.pause(session)
    queues.pause("mail", session=session)

    assert [each.queue_name for each in queues.paused(session=session)] == ["mail"]
    everything.resume(session)
    assert [each.queue_name for each in queues.paused(session=session)] == ["mail"]


@pytest.mark.parametrize("text", ["a\0b", "two\nlines", "\udcff"])
def test_a_reason_is_a_line_of_text(session: Session, text: str) -> None:
    with pytest.raises(Error, match="reason: "):
        everything.pause(session, text)
    with pytest.raises(Error, match="by: "):
        everything.pause(session, by=text)
    assert everything.paused(session) is None


def test_each_act_notifies_the_monitors_and_is_an_event(
    session: Session, target: Target, recorder: EventRecorder
) -> None:
    paused, resumed = (recorder.facts(f"everything.{name}") for name in ("paused", "resumed"))
    listening = Connection(target, "listener", listen=True, topic="kill")
    with contextlib.closing(listening) as listener:
        _ = listener.connection
        everything.pause(session, "move", by="me")
        everything.resume(session, catch_up=True)

        listener.connection.execute("SELECT 1")
        assert listener.notifications() == ["everything"] * 2
    assert [(each["reason"], each["by"]) for each in paused] == [("move", "me")]
    assert [each["catch_up"] for each in resumed] == [True]


@pytest.mark.parametrize("catch_up", [True, False])
def test_instants_that_the_pause_covers_are_skipped_unless_they_are_caught_up(
    session: Session, rows: Rows, *, catch_up: bool
) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, source, planned_from)"
        " VALUES ('daily', '@daily', 'DailyJob', 'test', now() - interval '1 day')"
    )
    everything.resume(session)
    before = rows(PLANNED)
    everything.pause(session)

    everything.resume(session, catch_up=catch_up)

    assert (before, rows(PLANNED)) == ([True], [catch_up])
