"""The page of hooks: its programs run, and it names all that there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import jobsd
from docs.pages import blocks
from jobsd.events import hooks
from jobsd.events.hooks import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs/guide/hooks.md").read_text(encoding="utf-8")
PROGRAMS = blocks(PAGE, "python")


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    hooks.reset()


def test_every_hook_is_named() -> None:
    missing = [name for name in jobsd.__all__ if name.startswith("on_") and name not in PAGE]

    assert missing == []


def test_the_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for program in PROGRAMS:
        exec(compile(program, "docs/guide/hooks.md", "exec"), names)  # noqa: S102 - our own page
    worker = Process("worker", "worker-1", 42, "web-1", 7, {"queues": "mail"})

    hooks.call("on_worker_start", worker)
    hooks.call("on_worker_exit", worker)

    assert capsys.readouterr().out == "worker worker-1 takes from mail\n"
    assert hooks.registered() == {"on_worker_start", "on_worker_exit", "on_start"}
