"""The plugin has registered itself: its fixtures are those that a user has."""

from __future__ import annotations

import pytest

from .shop import inside, ran


@pytest.fixture(autouse=True)
def _nothing_has_run() -> None:
    ran.clear()
    inside.clear()
