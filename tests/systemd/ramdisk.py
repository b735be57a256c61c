"""The first files of a virtual machine: a program, a busybox, and modules of its kernel."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PROGRAM = 0o100755


def ramdisk(kit: Path, modules: Sequence[str], texts: Mapping[str, str]) -> bytes:
    """Return an archive of texts, and of the busybox and modules that lie below `kit`."""
    busybox = next(path for path in kit.glob("**/bin/busybox") if path.is_file())
    files = {name: text.encode() for name, text in texts.items()}
    files["busybox"] = busybox.read_bytes()
    for module in modules:
        (path,) = kit.glob(f"**/lib/modules/*/kernel/**/{module}.ko*")
        files[module] = _unpacked(path)
    files["TRAILER!!!"] = b""
    return b"".join(_entry(name, content) for name, content in files.items())


def _unpacked(path: Path) -> bytes:
    if path.suffix != ".xz":
        return path.read_bytes()
    return subprocess.run(["xz", "-dc", path], capture_output=True, check=True).stdout


def _entry(name: str, content: bytes) -> bytes:
    """Return one file of an archive in the format newc of cpio."""
    sizes = (0, _PROGRAM, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % size for size in sizes) + name.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (head, content))
