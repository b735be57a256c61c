"""Arguments for people: a call, whatever JSON holds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from jobsd.arguments import arguments
from jobsd.operations.shown_arguments import call_text


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "welcome()"),
        ((5,), {"token": "x"}, "welcome(5, token='x')"),
        ((), {"polite": True, "to": None}, "welcome(polite=True, to=None)"),
        (([1, "a"], {"a": [2.5]}), {}, "welcome([1, 'a'], {'a': [2.5]})"),
        ((Decimal("1.10"), date(2030, 1, 2)), {}, "welcome(1.10, 2030-01-02)"),
        ((datetime(2030, 1, 2, 3, tzinfo=UTC),), {}, "welcome(2030-01-02T03:00:00+00:00)"),
        (((1, 2), {3}), {}, "welcome((1, 2), {3})"),
        (({1: "a"},), {}, "welcome({1: 'a'})"),
        ((UUID(int=5),), {}, "welcome(00000000-0000-0000-0000-000000000005)"),
        ((b"ab",), {}, "welcome(bytes('YWI='))"),
        (("\x1b[2J\n",), {}, "welcome('\\x1b[2J\\n')"),
    ],
)
def test_arguments_are_written_as_in_a_call(
    args: tuple[object, ...], kwargs: dict[str, object], text: str
) -> None:
    held = json.loads(arguments.dump(args, kwargs))

    assert call_text("app.mail.welcome", held) == text


def test_hidden_arguments_stay_hidden() -> None:
    assert call_text("welcome", {"token": "[FILTERED]"}) == "welcome(token=[FILTERED])"


def test_arguments_that_were_not_read_are_an_ellipsis() -> None:
    assert call_text("welcome", "[FILTERED]") == "welcome(…)"


def test_a_long_call_text_is_cut() -> None:
    assert len(call_text("welcome", ["x" * 5000])) == 2001
