"""Reads the stack of an overdue job from the dump of its process."""

from .children import ChildProcess

REASON = "timeout"
"""The reason for ending a process because of a job over its time limit."""
_STACK_MAX = 4_000
_IN_JOB = "/performing/calls.py"
"""Each thread that runs a job has a frame of this file."""


def note_stack(process: ChildProcess) -> None:
    """Store the stack of the job for which a process was ended, from its dump.

    The stack of the job's thread; if that is unknown, those of all threads that run jobs.
    """
    entry = process.entry
    overdue = entry.overdue() if process.asked == REASON else []
    if not overdue or entry.stack_job:
        return
    stacks = list(process.dump.stacks())
    of_thread = [stack for thread, stack in stacks if int(thread, 16) == overdue[0].thread]
    found = of_thread or [stack for _, stack in stacks if _IN_JOB in stack]
    # In the usual order of Python: the latest call last.
    text = "\n\n".join("\n".join(reversed(stack.splitlines())) for stack in found)
    entry.stack = text[-_STACK_MAX:]
    entry.stack_job = overdue[0].job.job_id
