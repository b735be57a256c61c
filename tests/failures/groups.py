"""Control groups for a tree under test: little memory, few processes."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Group:
    """A control group; whatever is started through `wrap` lives in it."""

    path: Path

    @property
    def wrap(self) -> list[str]:
        return ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs && exec "$@"', "sh"]

    def set(self, name: str, value: object) -> None:
        (self.path / name).write_text(str(value), encoding="ascii")

    def get(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii")


@contextlib.contextmanager
def group(controller: str, limit: str) -> Generator[Group]:
    """Make a group of a controller, in version 1 or 2; `limit` is a file that it must have."""
    version_1 = _ROOT / controller
    root = version_1 if version_1.is_dir() else _ROOT
    made = Group(root / f"jobsd-test-{os.getpid()}")
    try:
        made.path.mkdir()
    except OSError:
        pytest.skip("a control group needs a privilege that we don't have")
    try:
        if not (made.path / limit).exists():
            pytest.skip(f"the controller {controller} is not there")
        yield made
    finally:
        wait_until(lambda: not made.get("cgroup.procs").split(), what="the group is not empty")
        made.path.rmdir()
