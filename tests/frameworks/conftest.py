"""What the tests of frameworks share with those of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from driven_worker import count, make_worker, scoreboard
from harness.surroundings import forget_surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["count", "make_worker", "scoreboard"]


@pytest.fixture(autouse=True)
def _surrounded_by_nothing() -> Iterator[None]:
    yield
    forget_surroundings()
