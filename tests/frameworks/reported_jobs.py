"""Jobs whose ends are reported."""

from __future__ import annotations

import asyncio
import logging

from jobsd.jobs.current import current_job
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
