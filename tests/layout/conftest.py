"""What all tests of the layout have in common: they parse many files."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Parse without the collector, within which other threads may parse: see broken_reports."""
    gc.disable()
    yield
    gc.enable()
