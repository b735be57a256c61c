"""Process titles: what `ps` shows of us."""

from __future__ import annotations

import setproctitle


def set_title(kind: str, doing: str) -> None:
    """Show the process as "jobsd KIND: DOING"."""
    setproctitle.setproctitle(f"jobsd {kind}: {doing}" if doing else f"jobsd {kind}")
