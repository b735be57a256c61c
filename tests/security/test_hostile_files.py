"""A configuration file is data: it runs nothing, and can't be made to eat the machine."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.project import Project
from harness.tree import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = 1 << 30
PROCESSOR_S = 10


def _laughs() -> str:
    """Return nine lists of nine, each of which is the one before nine times."""
    lines = ["a0: &a0 []"]
    for depth in range(1, 10):
        ninefold = ", ".join([f"*a{depth - 1}"] * 9)
        lines.append(f"a{depth}: &a{depth} [{ninefold}]")
    return "\n".join(lines)


HOSTILE = {
    "a billion laughs": _laughs(),
    "a billion laughs that are merged": "\n".join(
        ["a0: &a0 {x: 1}"]
        + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10)]
        + ["database: *a9"]
    ),
    "an alias of itself": "a: &a [*a]",
    "deep nesting": "workers: " + "[" * 100_000,
    "a big file": "# " + "x" * (1 << 21),
    "a Python object": "import: !!python/object/apply:os.system ['touch made']",
    "a Python name": "import: !!python/name:os.system",
    "Ruby code": "time_zone: <%= system('touch made') %>",
    "Python code": "time_zone: <%= __import__('os').system('touch made') %>",
    "a variable that brings keys": "time_zone: ${KEYS}",
}


@pytest.mark.failure(
    "Hostile files of configuration: bombs, tags that would run code, endless depth.",
    "A fault with its place; nothing is run, memory and time are bounded.",
)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_only_a_fault(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path, "", KEYS="UTC\nimport: [os]\nsupervisor: {pidfile: made}")
    project.write("config/queue.yml", HOSTILE[name] + "\n")

    done = subprocess.run(
        [*COMMAND, "check"],
        cwd=tmp_path,
        env=project.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        preexec_fn=_be_poor,
    )

    assert done.returncode == 78, done.stdout + done.stderr
    assert "error: " in done.stderr
    assert len(done.stderr) < 5000
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def _be_poor() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
