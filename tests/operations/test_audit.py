"""What is written down of acts by hand, also where they fail half-way."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd import machine
from jobsd.errors import RefusedError
from jobsd.operations import audit

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def _half(session: Session, done: int) -> None:
    with audit.acting(session, "retry", "all jobs", actor="ann") as act:
        act.add(done)
        raise RefusedError("no more")


@pytest.mark.parametrize("done", [0, 3])
def test_an_act_that_is_refused_is_written_down_if_it_has_changed_anything(
    session: Session, done: int
) -> None:
    with pytest.raises(RefusedError):
        _half(session, done)

    kept = [(row["act"], row["jobs"], row["ended_at"]) for row in audit.rows(session)]
    assert kept == [("retry", 3, None)] * bool(done)


def test_jobs_and_skipped_ones_add_up_over_the_steps_of_an_act(session: Session) -> None:
    with audit.acting(session, "retry", "all jobs") as act:
        act.add(2, skipped=1)
        act.add(3, skipped=4)

    (row,) = audit.rows(session)
    assert (row["jobs"], row["skipped"], row["ended_at"] is not None) == (5, 5, True)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("queue a\0b", "queue ab"), ("queue \udcff", "queue ?"), ("x" * 2_000, "x" * 1_000)],
    ids=["nul", "no text", "long"],
)
def test_whatever_is_typed_can_be_written_down(session: Session, typed: str, kept: str) -> None:
    with audit.acting(session, "pause", typed):
        pass

    assert [row["target"] for row in audit.rows(session)] == [kept]


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_has_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def getuser() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", getuser)

    assert machine.user_at_host().startswith("?@")


def _cut_off(session: Session, act: str) -> None:
    with audit.acting(session, act, "task beat"):
        raise psycopg.OperationalError("the connection is lost")


@pytest.mark.parametrize(("act", "safe"), [("run", False), ("enable", True)])
def test_an_outage_notes_whether_the_act_may_be_repeated(
    session: Session, act: str, *, safe: bool
) -> None:
    with pytest.raises(psycopg.OperationalError) as raised:
        _cut_off(session, act)

    (note,) = raised.value.__notes__
    assert ("safe to repeat" in note) == safe
    assert ("look for it before you repeat this" in note) == (not safe)
