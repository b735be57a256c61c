"""The outcomes of jobs that did not succeed, in shared memory that outlives their process.

An ending says what a job is to become. It counts in its claim only, which stands beside the
job's id: not once the job is recorded, nor when the same process has claimed the job again.
"""

from __future__ import annotations

from jobsd.jobs.policy import Ending

from .words import read_text, write_text

OUTCOMES = ("failed", "retried", "discarded", "snoozed")
ENDING_WORDS = 9
_TYPE_WORDS = ENDING_WORDS - 2


def write_ending(words: memoryview[int], index: int, ending: Ending) -> None:
    """Store an ending without the ids of job and claim; of a long error type, its end."""
    at = index * ENDING_WORDS
    words[at] = OUTCOMES.index(ending.outcome)
    words[at + 1] = int(ending.wait_s * 1e6)
    write_text(words, at + 2, ending.error_type.encode()[-_TYPE_WORDS * 8 :], _TYPE_WORDS)


def read_ending(words: memoryview[int], index: int, job_id: int, claim_id: int) -> Ending:
    """Return what `write_ending` has stored."""
    at = index * ENDING_WORDS
    outcome, wait_us = words[at : at + 2]
    error_type = read_text(words, at + 2, _TYPE_WORDS)
    return Ending(job_id, claim_id, OUTCOMES[outcome], wait_us / 1e6, error_type)
