"""A job of the queue in memory in the form in which `find` and refusals see it."""

import json
import os
from collections.abc import Iterator

from jobsd import machine
from jobsd.acts import inspect, shown_keys
from jobsd.operations import jobs, why

from . import job_store, running
from .recorded_job import RecordedJob

PROCESS = "test kit"
"""The name of the worker."""


def examined(queue: job_store.JobStore, job: RecordedJob) -> jobs.Examined:
    """Return a job with its attempts and reasons."""
    kept = None if job.written is None else inspect.Kept(job.written, PROCESS)
    return jobs.Examined(found(job), attempts(job), [*_why(queue, job)], kept)


def found(job: RecordedJob) -> inspect.Found:
    """Return the job as its row and the table of its state would describe it."""
    limited, claimed, ended = job.draft.limited, job.state == "claimed", _has_ended(job)
    failed = attempts(job)[-1].error if job.state == "failed" and job.errors else None
    row = inspect.JobRow(
        id=job.id,
        class_name=job.class_name,
        queue_name=job.queue_name,
        priority=job.priority,
        state=job.state,
        arguments=json.loads(job.draft.arguments),
        attempts=job.attempts,
        max_attempts=job.draft.max_attempts,
        created_at=job.enqueued_at,
        scheduled_at=job.scheduled_at,
        started_at=job.started_at if ended else None,
        finished_at=job.ended_at if ended else None,
        error=None if failed is None else {name: failed[name] for name in ("type", "message")},
        claimed_at=job.started_at if claimed else None,
        process_id=0 if claimed else None,
        process=PROCESS if claimed else None,
        pid=os.getpid() if claimed else None,
        hostname=machine.hostname() if claimed else None,
    )
    return inspect.Found(
        row,
        job.position if job.state == "ready" else None,
        None if limited is None else limited.key,
        None if limited is None else limited.to,
        None,
        reason=job.reason,
        expires_at=None if ended else job.expires_at,
        cancelled=job.cancelled and claimed,
    )


def attempts(job: RecordedJob) -> list[inspect.Attempt]:
    """Return the failed attempts of a job, the first attempt first."""
    reported = zip(job.failed_attempts, job.errors, strict=True)
    return [
        inspect.Attempt(number, PROCESS, started_at, ended_at, running.described(error) or {})
        for (number, started_at, ended_at), error in reported
    ]


def _has_ended(job: RecordedJob) -> bool:
    return job.state in {"finished", "discarded"}


def _why(queue: job_store.JobStore, job: RecordedJob) -> Iterator[why.Reason]:
    """Yield the reasons why the test can't perform a job."""
    if job.state == "scheduled":
        sentence = f"it is scheduled for {job.scheduled_at}"
        yield why.Reason("scheduled", sentence, {"until": job.scheduled_at})
    holders = queue.holders(job)
    if job.state == "ready" and job.draft.limited and len(holders) >= job.draft.limited.to:
        key, limit = job.draft.limited.key, job.draft.limited.to
        facts = {"key": key, "limit": limit, "held_by": [each.id for each in holders]}
        sentence = f"concurrency limit {limit} for key {shown_keys.shown_key(key)}"
        yield why.Reason("blocked", sentence, facts)
    pause = queue.pauses.get(job.queue_name)
    if job.state in {"scheduled", "ready"} and pause is not None:
        facts = {"queue_name": job.queue_name, "by": pause.created_by}
        facts |= {"since": pause.created_at, "because": pause.reason}
        yield why.Reason("paused", f"queue {job.queue_name!r} is paused", facts)
    if job.state == "claimed" and job.cancelled:
        sentence = "it was cancelled while it ran: it is discarded unless it succeeds"
        yield why.Reason("cancelled", sentence)
