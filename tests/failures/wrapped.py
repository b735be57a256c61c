"""Trees that are started through another program: a shell, a namespace, a limit."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.tree import COMMAND, Tree
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from harness.project import Project


@contextlib.contextmanager
def wrapped(
    project: Project, wrap: Sequence[str], *arguments: str, **environ: str
) -> Generator[Tree]:
    """Start a project's tree as the argument of another program."""
    command = [*wrap, *COMMAND, "start", *arguments]
    tree = Tree(command, project.root, {**project.environ, **environ})
    try:
        yield tree
    finally:
        tree.end()


@contextlib.contextmanager
def full_disk(folder: Path, bytes_left: int) -> Generator[Path]:
    """A file system with so much room; `ballast` in it holds the rest."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs a privilege that we don't have")
    try:
        (folder / "ballast").write_bytes(bytes((64 << 10) - bytes_left))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_address() -> str:
    """Return an address for metrics that nobody has."""
    return f"127.0.0.1:{free_port()}"


def metric(address: str, name: str) -> float:
    """Return the value of a metric, named with its labels if it has any, as it is served."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{name} "))
    return float(value)


def needs(*command: str) -> list[str]:
    """Return the command, or skip when it does nothing here."""
    found = shutil.which(command[0])
    if (
        not found
        or subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip(f"{' '.join(command[:2])} needs a privilege that we don't have")
    return list(command)


def only_child(pid: int) -> int:
    """Return the process id of the only child of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    (child,) = children.split()
    return int(child)


def is_root() -> bool:
    return os.geteuid() == 0


def health(address: str) -> int:
    """Return the status with which a tree answers whether it is healthy."""
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
