"""A dashboard on empty tables, and a browser for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dashboard.asking import MADE, Browser, made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from jobsd.enqueueing.client import Client


@pytest.fixture
def browser(target: Target, default_client: Client) -> Browser:
    """A browser on this machine, where everybody may do everything."""
    del default_client
    return Browser(made(target, filter_arguments=("token",)))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()
