"""Jobs of a worker that are over their time limits and do not stop.

The supervisor sees them, too, and asks the process to stop. What the worker adds: where such a
job stands, for the error that its attempt gets, and an end as soon as nothing else is left.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from jobsd.clock import monotonic_ns

if TYPE_CHECKING:
    from jobsd.processes.entry import ScoreboardEntry

    from .asynchronous import Asynchronous
    from .ledger import Ledger

_STACK_MAX = 4_000
_FRAMES_MAX = 30


def end_if_alone(entry: ScoreboardEntry, ledger: Ledger, asynchronous: Asynchronous) -> None:
    """End a process that drains, when nothing is left in it but such jobs."""
    if not 0 < entry.next_hard_ns <= monotonic_ns():
        return
    overdue = entry.overdue()
    if not overdue:
        return
    _note_stack(entry, overdue[0].job.job_id)
    alone = len(overdue) == asynchronous.uncollected
    if alone and not ledger.has_unrecorded and ledger.size <= len(overdue):
        os.kill(os.getpid(), signal.SIGKILL)


def _note_stack(entry: ScoreboardEntry, job_id: int) -> None:
    """Leave for the recovery where the job stands."""
    if entry.stack_job:
        return
    threads = {job: n for n, job in entry.in_threads().items()}
    name = f"job-{threads[job_id]}" if job_id in threads else "job-loop"
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    found = next((t.ident for t in threading.enumerate() if t.name == name), None)
    frame = frames.get(found or 0)
    stack = "".join(traceback.format_stack(frame, _FRAMES_MAX)) if frame else ""
    entry.stack = stack[-_STACK_MAX:]
    entry.stack_job = job_id
