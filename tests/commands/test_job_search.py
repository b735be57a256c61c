"""The search of `list`: as a shell cuts it, and what a shell offers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from jobsd.daemon.commands.list import SEARCH, search_text
from jobsd.operations.search import NAMES

NOTHING: Any = cast("Any", None)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((), ""),
        (("class:a state:failed",), "class:a state:failed"),
        (("class:a", "two words"), 'class:a "two words"'),
        (("queue:two words", "x"), 'queue:"two words" x'),
        (('queue:"two words"', "x"), 'queue:"two words" x'),
    ],
)
def test_a_quoted_search_word_stays_one_word(parts: tuple[str, ...], text: str) -> None:
    assert search_text(parts) == text


def _offered(begun: str) -> list[str]:
    return [each.value for each in SEARCH.shell_complete(NOTHING, NOTHING, begun)]


def test_a_shell_offers_names_and_states() -> None:
    assert [each.rstrip(":") for each in _offered("")] == [*NAMES[:-1], "args."]
    assert _offered("st") == ["state:", "started:"]
    assert _offered("state:f") == ["state:failed", "state:finished"]
    assert _offered("host:") == []
