"""Facts about this machine, host name and processes, and the version of this program."""

import os
from pathlib import Path
from typing import NamedTuple

PROGRAM_VERSION = "0.1.0"
"""As in pyproject.toml: to ask for what is installed loads more than most commands do."""


class ProcessStat(NamedTuple):
    """What /proc says of a process: its state, a letter, and its start in ticks since boot."""

    state: str
    started: str


def process_stat(pid: int) -> ProcessStat | None:
    """Return what /proc says of a process; None when it is gone, or /proc hides it.

    One that has ended and was not reaped yet is in state "Z" or "X".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything; the fields behind it begin with the state.
    fields = stat.rpartition(")")[2].split()
    return ProcessStat(fields[0], fields[19])


def hostname() -> str:
    r"""Return the machine's name, as rows, heartbeats and logs show it.

    The kernel takes any bytes for a name, PostgreSQL and JSON only text: what is no UTF-8
    is written as `\xe9`.
    """
    return os.fsencode(os.uname().nodename).decode(errors="backslashreplace")
