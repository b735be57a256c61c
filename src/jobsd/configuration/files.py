"""Reads a configuration file's bytes, whatever lies at its path."""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF8
from typing import TYPE_CHECKING

from jobsd.configuration.source import Place, Source
from jobsd.errors import Fault

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1 << 20


class UnreadableError(Exception):
    """A file is there and can't be used; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def read_source(root: Path, name: str) -> Source | None:
    """Return the text of the file that people call `name`; None when there is none.

    Raises:
        UnreadableError: when it is no file, too big, or not UTF-8.
    """
    try:
        content = _content(root / name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(Fault(f"{name} can't be read: {reason}", name)) from None
    if content is None:
        raise UnreadableError(Fault(f"{name} is no regular file", name))
    if len(content) > LARGEST:
        raise UnreadableError(Fault(f"{name} is bigger than 1 MiB", name))
    return Source(name, _decoded(name, content))


def _content(path: Path) -> bytes | None:
    """Return at most a byte more than allowed; None for what isn't a regular file.

    Opened without waiting: a pipe that nobody writes to would hold the start for ever.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with open(file, "rb", closefd=False) as opened:
            return opened.read(LARGEST + 1)
    finally:
        os.close(file)


def _decoded(name: str, content: bytes) -> str:
    """Return the text with a line feed as its only line end, and without a byte order mark."""
    content = content.removeprefix(BOM_UTF8)
    try:
        return _with_newlines(content.decode())
    except UnicodeDecodeError as error:
        at = len(_with_newlines(content[: error.start].decode()))
        source = Source(name, _with_newlines(content.decode(errors="replace")))
        hint = "save the file as UTF-8"
        fault = Place(source, at, at + 1).fault("this is not UTF-8", hint)
        raise UnreadableError(fault) from None


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
