"""Jobs whose ends are reported."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from jobsd.jobs import middleware
from jobsd.jobs.current import CurrentJob, current_job, running
from jobsd.jobs.definition import job
from jobsd.jobs.policy import Discard, Retry, Snooze

SAID = {"discard": Discard, "retry": Retry, "gone": LookupError, "broken": ZeroDivisionError}


@job(name="reported.fine", queue="mail")
def fine(number: int) -> int:
    return number


@job(name="reported.stumbles", queue="mail", max_attempts=2, backoff=lambda _attempt: 0.0)
def stumbles(number: int) -> None:
    logging.getLogger("shop").warning("attempt %s", current_job().attempt)
    raise ValueError(number)


@job(name="reported.says", discard_on=LookupError)
def says(word: str) -> None:
    if word == "snooze" and current_job().waited_s is not None:
        raise Snooze("1h")
    raise SAID[word]


TOGETHER = 5
_all_have_begun = asyncio.Barrier(TOGETHER)


@job(name="reported.together", queue="mail")
async def together(number: int) -> None:
    """Fail when all have begun, each with its own breadcrumb."""
    logging.getLogger("shop").warning("number %s", number)
    async with asyncio.timeout(20):
        await _all_have_begun.wait()
    raise ValueError(number)


@job(name="reported.soon", queue="mail")
async def soon(number: int) -> int:
    return number


ODD_CONTEXTS: list[dict[str, Any]] = [
    {"sentry": "x", "otel": "x", "recurring_task": "x"},
    {"sentry": [1], "otel": [1], "recurring_task": {"key": "nightly"}},
    {"sentry": {"sentry-trace": 5, "baggage": 7}, "otel": {"traceparent": 5}},
    {"sentry": {"sentry-trace": "zz", "baggage": "=,;"}, "otel": {"traceparent": "zz"}},
]
"""What others may have written into the row of a job."""


def perform_with(context: dict[str, Any]) -> None:
    """Perform a job that has this context, here."""
    name = fine.definition.name
    job = CurrentJob(1, 1, "mail", name, given=((1,), {}), carried=json.dumps(context))
    with running(job):
        middleware.perform(fine.definition, (1,), {})
