"""Python's own streams and that of C, which keep what is written to them for a while.

Into a pipe they write by the block: what a job has written would come with a later job, or
never, since our processes end without the end of an interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys

_LINES = 1  # _IOLBF, in every libc of Linux


def write_by_lines() -> None:
    """Let each line be written at once, as to a terminal."""
    for stream in (sys.__stdout__, sys.__stderr__):
        # None where the daemon was started without.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        libc = ctypes.CDLL(None)
        libc.setvbuf(_c_stdout(libc), None, _LINES, ctypes.c_size_t(0))


def flush() -> None:
    """Write what was begun."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # None where the daemon was started without; closed, or full, elsewhere.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    # Not all of C's: another thread may stand still in one of them.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        libc = ctypes.CDLL(None)
        libc.fflush(_c_stdout(libc))


def _c_stdout(libc: ctypes.CDLL) -> ctypes.c_void_p:
    return ctypes.c_void_p.in_dll(libc, "stdout")
