"""The plugin of pytest: it registers itself when jobsd is installed.

A run that uses none of the fixtures loads nothing of jobsd but this.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .memory_queue import MemoryQueue
    from .virtual_clock import VirtualClock


@pytest.fixture
def jobs() -> Generator[MemoryQueue]:
    """Record the enqueues of the test, without a database."""
    from .modes import recorded  # noqa: PLC0415 - as above

    with recorded() as queue:
        yield queue


@pytest.fixture
def jobs_inline() -> Generator[MemoryQueue]:
    """Perform each job when the test enqueues it, without a database."""
    from .modes import inline  # noqa: PLC0415

    with inline() as queue:
        yield queue


@pytest.fixture
def jobs_clock(request: pytest.FixtureRequest) -> Generator[VirtualClock]:
    """Perform jobs and recurring tasks when the test advances the clock."""
    from .modes import clock  # noqa: PLC0415

    with clock(project=_project(request.config)) as virtual:
        yield virtual


def _project(config: pytest.Config) -> str | None:
    """Return pytest's root if it has the project, whatever the working directory is."""
    root = config.rootpath
    return str(root) if (root / "config").is_dir() else None
