"""Jobs that the tests of the test kit enqueue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd import (
    Discard,
    Job,
    Limit,
    Retry,
    Snooze,
    Unique,
    constant,
    current_job,
    job,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ran: list[object] = []
"""What has run, in order."""
inside: list[Callable[[], object]] = []
"""What the job `call` calls."""


@job(name="kit.welcome", queue="mail")
def welcome(user_id: int, language: str = "en") -> str:
    ran.append((user_id, language))
    return f"welcome, {user_id}"


@job(name="kit.flaky", max_attempts=3, backoff=constant("1m"), discard_on=KeyError)
def flaky(*errors: str) -> None:
    """Raise the exception of this name at each attempt that has one."""
    attempt = current_job().attempt
    ran.append(attempt)
    kinds: dict[str, Exception] = {
        "value": ValueError("no value"),
        "key": KeyError("no key"),
        "discard": Discard("no more"),
        "retry": Retry(after="1h"),
        "snooze": Snooze("10m"),
    }
    if attempt <= len(errors):
        raise kinds[errors[attempt - 1]]


@job(name="kit.urgent", priority=-1, result_ttl="1h")
def urgent() -> str:
    ran.append("urgent")
    return "done"


@job(name="kit.call", limits_concurrency=Limit(to=1))
def call() -> None:
    ran.append("call")
    for each in [*inside]:
        inside.remove(each)
        each()


@job(name="kit.alone", limits_concurrency=Limit(to=1, key="key", on_conflict="discard"))
def alone(key: int) -> None:
    ran.append(key)


@job(name="kit.once", unique=Unique(key="key", until="started"))
def once(key: int, text: str = "") -> None:
    ran.append((key, text))


@job(name="kit.rare", unique=Unique(until=None, within="1h", on_conflict="raise"))
def rare() -> None:
    ran.append("rare")


@job(
    name="kit.latest",
    unique=Unique(key="key", until="started", on_conflict="replace", max_wait="5m"),
)
def latest(key: int, text: str) -> None:
    ran.append((key, text))


@job(name="kit.soon", expires_in="10m", max_attempts=9, backoff=constant("6m"))
def soon(*, fails: bool = False) -> None:
    ran.append("soon")
    if fails:
        raise ValueError


@job(name="kit.brief", expires_in="10m")
def brief() -> None:
    ran.append("brief")
    if ran.count("brief") == 1:
        raise ValueError


@job(name="kit.coroutine")
async def coroutine(number: int) -> None:
    ran.append(number)


@job(name="kit.slow", timeout="50ms")
def slow() -> None:
    ran.append("slow")
    while True:
        pass


class Report(Job):
    name = "kit.report"

    def perform(self, day: str) -> None:
        ran.append(day)
