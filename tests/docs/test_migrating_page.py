"""Our programs of docs/guide/migrating.md run, for a day, with the test kit."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from jobsd.jobs import registry
from jobsd.testing import clock

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = dict(
    re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", guide("migrating"), re.MULTILINE | re.DOTALL)
)
SYSTEMS = (
    *("Celery", "RQ", "Dramatiq", "Procrastinate", "APScheduler", "django-q2", "Huey"),
    "Solid Queue",
)


def test_each_system_has_a_section_with_both_programs() -> None:
    assert tuple(SECTIONS) == SYSTEMS
    for name, text in SECTIONS.items():
        assert re.search(r"^```(python before|ruby)$", text, re.MULTILINE), name
        assert len(blocks(text, "python")) == 2, name


@pytest.mark.parametrize("system", SYSTEMS)
def test_our_program_does_its_work_for_a_day(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, calls = blocks(SECTIONS[system], "python")
    name = re.sub(r"\W|2", "", system.lower()) + "_shop"
    (tmp_path / "config").mkdir()
    (tmp_path / f"{name}.py").write_text(module)
    (tmp_path / "config/queue.yml").write_text(f"import: [{name}]\n")
    tasks = blocks(SECTIONS[system], "yaml")
    (tmp_path / "config/recurring.yml").write_text("\n".join(tasks) or "{}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    # Others may have jobs of these names.
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))
    monkeypatch.setattr(registry, "_asynchronous", set(registry._asynchronous))

    with clock(project=tmp_path) as virtual:
        names = dict(vars(importlib.import_module(name)))
        exec(compile(calls, system, "exec"), names)  # noqa: S102 - our own page
        enqueued = len(virtual.jobs)
        performed = virtual.advance("1d")

    del sys.modules[name]
    defined = {
        each.name for each in registry.definitions() if each.source.startswith(f"{name}.")
    }
    assert enqueued > 0
    assert {job.state for job in performed} == {"finished"}
    assert {job.class_name for job in performed} - {"RecurringCommandJob"} == defined
