"""Keys whose lock was held are asked for again."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.jobs.owed import Owed

if TYPE_CHECKING:
    import pytest


def test_keys_are_asked_for_again_at_growing_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = monotonic()
    monkeypatch.setattr("jobsd.jobs.owed.monotonic", lambda: now)
    owed = Owed()
    owed.owe(["a", "b"])
    waits: list[float] = []
    for _ in range(8):
        owed.answered(["a", "b"], {"b"})
        owed.owe(["a"])
        waits.append(round(owed._due_at["b"] - now, 2))

    assert waits == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1]
    assert owed.due() == ["a"]


def test_a_key_that_was_got_is_forgotten() -> None:
    owed = Owed()
    owed.owe(["a"])

    owed.answered(owed.due(), ())

    assert (owed.due(), owed.next_at) == ([], None)


def test_a_key_that_was_begun_is_asked_for_again_at_once() -> None:
    owed = Owed()
    owed.owe(["a"])
    owed.answered(owed.due(), {"a"})
    assert owed.due() == []
    owed.owe(["a"])

    owed.answered(owed.due(), {"a"}, {"a"})

    assert owed.due() == ["a"]
