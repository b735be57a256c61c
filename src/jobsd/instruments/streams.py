"""The buffers of Python's own streams and of C's stdout.

Into a pipe these write block by block: the output of a job would appear during a later job, or
never, since our processes exit without the end of the interpreter.
"""

import contextlib
import ctypes
import io
import sys

_LINES = 1  # _IOLBF, in every libc of Linux


def write_by_lines() -> None:
    """Write each line at once, as to a terminal."""
    for stream in (sys.__stdout__, sys.__stderr__):
        # None where the daemon was started without.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        libc = ctypes.CDLL(None)
        libc.setvbuf(_c_stdout(libc), None, _LINES, ctypes.c_size_t(0))


def flush() -> None:
    """Write what is in the buffers."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        # None where the daemon was started without; closed, or full, elsewhere.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    # Not all streams of C: another thread may hang in one of them.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        libc = ctypes.CDLL(None)
        libc.fflush(_c_stdout(libc))


def _c_stdout(libc: ctypes.CDLL) -> ctypes.c_void_p:
    return ctypes.c_void_p.in_dll(libc, "stdout")
