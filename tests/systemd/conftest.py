"""One box for all tests here, and in it the service, as after a boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .box import Box, why_not
from .service import Service, binds

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
"""A database that is away: the tree is up all the same, and quicker."""


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A booted systemd that knows the shipped units."""
    if reason := why_not():
        pytest.skip(reason)
    made = Box(tmp_path_factory.mktemp("box"), binds())
    try:
        Service(made).install()
        yield made
    finally:
        made.end()


@pytest.fixture
def service(box: Box) -> Iterator[Service]:
    """The service, stopped; its database is away unless a test configures another."""
    made = Service(box)
    made.begin()
    made.configure(DATABASE_URL=NOWHERE)
    yield made
    made.control("stop")
