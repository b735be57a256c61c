"""Whether the processes of the table live, as well as can be known from here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from jobsd.processes import registry

if TYPE_CHECKING:
    from jobsd.processes.registry import ProcessRow

    Life = Literal["alive", "silent", "gone"]


def life(row: ProcessRow, threshold_s: float) -> Life:
    """Return "alive"; "silent" when its heartbeat stands still; "gone" when it has ended.

    Only of processes of our own boot and namespace can be known that they have ended.
    """
    here = registry.identity(os.getpid())
    same_machine = all(row.metadata.get(key) == here[key] for key in ("boot", "namespace"))
    if same_machine and registry.start_time(row.pid) != row.metadata.get("started"):
        return "gone"
    return "silent" if row.heartbeat_age_s > threshold_s else "alive"
