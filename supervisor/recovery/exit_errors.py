"""Errors for the jobs of a process that has exited, and whether its exit costs them an attempt.

A process that was asked to stop, or killed after that, takes no attempt away: the jobs that ran
in it go back to ready. After any other exit the attempt has failed. The supervisor decides the
reason: a process that crashes while it drains has crashed.
"""

import os
import signal
from typing import Any

from jobsd import errors
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.scoreboard.hard_limits import Overdue

from .peers import PeerProcess

_ASKED = frozenset({"stop", "reload", "recycled", "row", "terminated", "timeout"})


def was_asked(entry: ScoreboardEntry) -> bool:
    """Return whether the dead process had been asked to stop."""
    return entry.reason in _ASKED


def how_it_ended(entry: ScoreboardEntry) -> str:
    """Return how a dead process ended: "was killed by SIGKILL", "exited with code 1"."""
    code = os.waitstatus_to_exitcode(entry.status)
    if code >= 0:
        return f"exited with code {code}"
    how = f"was killed by {_signal_name(-code)}"
    if entry.reason == "hung":
        return f"{how} because its loop stood still"
    if entry.reason == "oom":
        return f"{how} because memory had run out"
    return how


def exit_error(entry: ScoreboardEntry) -> dict[str, Any]:
    """Return the error of a job that ran in a dead process of this tree."""
    code = os.waitstatus_to_exitcode(entry.status)
    size = f"; its largest size was {entry.rss_kib // 1024} MiB" if entry.rss_kib else ""
    return {
        **_error(errors.ProcessExitError, f"{_who(entry)} {how_it_ended(entry)}{size}"),
        "pid": entry.pid,
        "reason": entry.reason,
        "exit_code": code if code >= 0 else None,
        "signal": _signal_name(-code) if code < 0 else None,
        "rss_kib": entry.rss_kib,
        "threads": {str(thread): job for thread, job in entry.in_cells().items()},
    }


def overdue_error(overdue: Overdue, entry: ScoreboardEntry) -> dict[str, Any]:
    """Return the error of a job that did not end in time, and had its process ended by that."""
    stack = entry.stack if entry.stack_job == overdue.job.job_id else ""
    if overdue.limit_s < 0:
        stood = f"the job blocked the event loop of its process for {-overdue.limit_s:.0f} s"
        return {
            **_error(errors.ProcessExitError, f"{stood}: its process was ended"),
            "stack": stack,
        }
    if overdue.limit_s:
        kind: type[BaseException] = errors.TimeLimitExceeded
        ran = f"the job has run for longer than its time limit of {overdue.limit_s:g} s"
    else:
        kind, ran = errors.Cancelled, "the job was cancelled by force"
    message = f"{ran} and did not stop within {overdue.grace_s:g} s: its process was ended"
    return {**_error(kind, message), "stack": stack, "kill_after": overdue.grace_s}


def orphan_error(entry: ScoreboardEntry) -> dict[str, Any]:
    """Return the error of a job that ran in a process of a killed supervisor."""
    return _error(
        errors.ProcessExitError, f"{_who(entry)} ended because its supervisor was gone"
    )


def vanished_error(peer: PeerProcess) -> dict[str, Any]:
    """Return the error of a job that ran in a process that exited unseen."""
    return _error(
        errors.ProcessExitError,
        f"{_who(peer)} is gone, and so is its supervisor: how it ended is not known",
    )


def stopped_error(process: str) -> dict[str, Any]:
    """Return the error of a job that ran in a process that has left a journal."""
    return _error(
        errors.ProcessExitError, f"worker {process} has ended while the database was away"
    )


def pruned_error(peer: PeerProcess, still_s: float) -> dict[str, Any]:
    """Return the error of a job of a process that has stopped its heartbeat."""
    return _error(
        errors.ProcessPrunedError,
        f"the heartbeat of {_who(peer)} on {peer.hostname} stood still for {still_s:.0f} s",
    )


def missing_error(process_id: int) -> dict[str, Any]:
    """Return the error of a job of a process without a row."""
    return _error(
        errors.ProcessMissingError, f"nothing is known of process {process_id} any more"
    )


def _error(kind: type[BaseException], message: str) -> dict[str, Any]:
    return {"type": kind.__name__, "message": message, "stack": ""}


def _who(process: ScoreboardEntry | PeerProcess) -> str:
    return f"{process.kind} {process.name} (pid {process.pid})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
