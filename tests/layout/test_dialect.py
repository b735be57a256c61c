"""Prose names its subjects: each room has few of the turns that layout.dialect counts."""

from __future__ import annotations

from functools import cache

import pytest

from layout import dialect

RATE_MAX = 4.0
"""Turns per 1,000 words. The sources of well-read projects have 0.7 to 2.2."""

counts = cache(dialect.count)


@pytest.mark.parametrize("room", sorted(dialect.count()))
def test_a_room_names_its_subjects(room: str) -> None:
    rate = counts()[room].rate

    found = "\n".join(counts()[room].found[-20:])
    assert rate <= RATE_MAX, (
        f"{rate:.1f} turns per 1,000 words in {room}, at most {RATE_MAX}:\n{found}"
    )


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("Return what is due.", 1),
        ("Return due jobs, and what they wait for.", 1),
        ("Whoever waits is told anew.", 3),
        ("A signal such as TERM, so long as the worker runs", 0),
        ("So many of those that wait", 2),
        ("Return the jobs of a queue.", 0),
    ],
)
def test_a_turn_is_counted(text: str, turns: int) -> None:
    assert sum(len(turn.findall(text)) for turn in dialect.PATTERNS.values()) == turns
