"""What is known of the machine that this runs on."""

from __future__ import annotations

import os


def hostname() -> str:
    r"""Return the machine's name, as rows, heartbeats and logs bear it.

    The kernel takes any bytes for a name, PostgreSQL and JSON only text: what is no UTF-8
    is written as `\xe9`.
    """
    return os.fsencode(os.uname().nodename).decode(errors="backslashreplace")
