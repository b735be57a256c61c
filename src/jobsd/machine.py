"""Facts about this machine, host name and processes, and the version of this program."""

import os
from pathlib import Path
from typing import NamedTuple

PROGRAM_VERSION = "0.1.0"
"""As in pyproject.toml: reading the installed version loads more than most commands do."""


class ProcessStat(NamedTuple):
    """The state of a process in /proc, a letter, and its start in ticks since boot."""

    state: str
    started: str


def process_stat(pid: int) -> ProcessStat | None:
    """Return the facts of a process in /proc; None when it is gone, or /proc hides it.

    A zombie is in state "Z" or "X".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name in parentheses may contain any character; the fields after it begin with the
    # state.
    fields = stat.rpartition(")")[2].split()
    return ProcessStat(fields[0], fields[19])


def hostname() -> str:
    r"""Return the machine's name, as rows, heartbeats and logs show it.

    The kernel takes any bytes for a name, PostgreSQL and JSON only text: bytes that are not
    UTF-8 are written as `\xe9`.
    """
    return os.fsencode(os.uname().nodename).decode(errors="backslashreplace")


def user_at_host() -> str:
    """Return the user of this process: USER@HOST."""
    import getpass  # noqa: PLC0415 - needed for the acts of people only

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        user = "?"
    return f"{user}@{hostname()}"


def strain() -> dict[str, float]:
    """Return the load of the last minute, the CPUs, and the memory of this machine."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    sizes = dict(line.split(":") for line in text.splitlines())
    memory, available = (
        int(sizes[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")
    )
    return {
        "load": round(os.getloadavg()[0], 2),
        "cpus": os.cpu_count() or 1,
        "memory_bytes": memory,
        "used_bytes": memory - available,
    }
