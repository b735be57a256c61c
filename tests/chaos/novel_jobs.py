"""Jobs that only one of the two trees knows, as in a rolling deploy."""

from __future__ import annotations

from chaos.jobs import ATTEMPTS, LIMITS, key_of, work
from jobsd import Limit, job
from jobsd.jobs.policy import constant


@job(name="chaos.novel", max_attempts=ATTEMPTS, backoff=constant(0.1))
def novel(n: int, seconds: float, how: str) -> None:
    """Be tried some times."""
    work(n, seconds, how)


@job(
    name="chaos.novel_alone",
    limits_concurrency=Limit(to=LIMITS["chaos.novel_alone"], key=key_of, duration=1),
)
def novel_alone(n: int, seconds: float, how: str, key: str) -> None:
    """Run alone of all with its key."""
    work(n, seconds, how, f"chaos.novel_alone/{key}")
