"""A small tree that is up, for tests that begin there."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from small_tree.driver import SmallTree, small_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., SmallTree]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a small tree and wait until all of it is up."""
    with ExitStack() as stack:

        def begin(*specs: tuple[str, int], **options: Any) -> SmallTree:
            tree = stack.enter_context(small_tree(tmp_path, *specs, **options))
            tree.wait("supervisor.ready")
            return tree

        yield begin
