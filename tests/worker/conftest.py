"""A worker whose rounds the test takes itself, and others that know some classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from driven_worker import Count, Driven, MakeWorker, count, make_worker, scoreboard
from jobsd.database.connection import Session
from jobsd.processes import registry as processes
from jobsd.states import parked

from .bodies import gate, noted
from .effects import URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobsd.database.connection import Target
    from jobsd.database.statements import Statement
    from rows import Rows

    from .elsewhere import Knower

__all__ = ["Count", "Driven", "MakeWorker", "count", "make_worker", "scoreboard"]


@pytest.fixture(autouse=True)
def _closed_gate() -> Iterator[None]:
    noted.clear()
    gate.clear()
    yield
    gate.set()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that workers have sent."""
    names: list[str] = []
    fetch, together = Session.fetch_prepared, Session.fetch_together

    def note(
        self: Session, statement: Statement, parameters: Mapping[str, Any], **how: Any
    ) -> list[tuple[Any, ...]]:
        names.append(statement.name)
        return fetch(self, statement, parameters, **how)

    def note_all(
        self: Session, statements: list[tuple[Statement, dict[str, Any]]], **how: Any
    ) -> list[list[tuple[Any, ...]]]:
        names.extend(statement.name for statement, _ in statements)
        return together(self, statements, **how)

    monkeypatch.setattr(Session, "fetch_prepared", note)
    monkeypatch.setattr(Session, "fetch_together", note_all)
    return names


@pytest.fixture
def knower(session: Session) -> Knower:
    """Let another worker live that knows some classes."""

    def live(*classes: str, queues: tuple[str, ...] = ("*",)) -> int:
        name = f"other-{'-'.join(queues)}"
        row = processes.register(
            session, kind="worker", name=name, supervisor_id=0, metadata={}
        )
        parked.publish(session, row, queues, {parked.lane_of(each) for each in classes})
        return row

    return live


@pytest.fixture
def effects(target: Target, rows: Rows) -> None:
    """A table of the user's in the queue's database, with nothing in it."""
    URL[0] = target.url
    rows("CREATE TABLE IF NOT EXISTS public.effects (n integer)")
    rows("DELETE FROM public.effects")
