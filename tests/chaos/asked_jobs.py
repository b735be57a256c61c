"""Jobs whose answers somebody waits for, and jobs that somebody asks for again and again."""

from __future__ import annotations

from chaos.jobs import ATTEMPTS, key_of, work
from jobsd import Unique, job
from jobsd.jobs.policy import constant

WITHIN_S = 1.0
"""For so long after its enqueue a job of `chaos.rare` keeps others of its key out."""


@job(name="chaos.replying", max_attempts=ATTEMPTS, backoff=constant(0.1), result_ttl="1h")
def replying(n: int, seconds: float, how: str) -> dict[str, int]:
    """Return a number, and say it to who reads the log."""
    print(f"said {n}.")
    work(n, seconds, how)
    return {"n": n}


@job(
    name="chaos.latest",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    unique=Unique(key=key_of, until="started", on_conflict="replace", max_wait="1s"),
)
def latest(n: int, seconds: float, how: str, key: str) -> None:
    """Run with what was asked for last, while it waited."""
    work(n, seconds, how, f"chaos.latest/{key}")


@job(
    name="chaos.rare",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    unique=Unique(key=key_of, until=None, within=WITHIN_S),
)
def rare(n: int, seconds: float, how: str, key: str) -> None:
    """Be the only one of its key that is enqueued for a while."""
    work(n, seconds, how, f"chaos.rare/{key}")
