"""Reads the stack of an overdue job from the dump of its process."""

from .children import ChildProcess

REASON = "timeout"
"""Why a process is ended of which a job is over its time."""
_STACK_MAX = 4_000
_IN_JOB = "/performing/calls.py"
"""Of this file is a frame of every thread that runs a job."""


def note_stack(process: ChildProcess) -> None:
    """Leave for the recovery where the job stood that a process was ended for, as it dumped it.

    The stack of the job's thread; where that is not known, those of all threads that run jobs.
    """
    entry = process.entry
    overdue = entry.overdue() if process.asked == REASON else []
    if not overdue or entry.stack_job:
        return
    stacks = list(process.dump.stacks())
    of_thread = [stack for thread, stack in stacks if int(thread, 16) == overdue[0].thread]
    found = of_thread or [stack for _, stack in stacks if _IN_JOB in stack]
    # As Python writes it elsewhere: the latest call last.
    text = "\n\n".join("\n".join(reversed(stack.splitlines())) for stack in found)
    entry.stack = text[-_STACK_MAX:]
    entry.stack_job = overdue[0].job.job_id
