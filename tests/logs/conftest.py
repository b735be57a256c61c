"""A log that a test can read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from logs.readable_log import Log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log() -> Iterator[Log]:
    """A log as JSON, at level info."""
    with contextlib.closing(Log()) as opened:
        opened.configure()
        yield opened
