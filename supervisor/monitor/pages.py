"""The pages of the monitor: /metrics, /healthz, /livez, /readyz.

None of them uses the connection of the database thread. They read the database over connections
of their own, in the background and for a bounded time; otherwise they answer with what is
known.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from email.message import Message
from functools import cached_property
from http import HTTPStatus
from typing import TypeVar

from jobsd.configuration.options import Options
from jobsd.database.connection import Session, Target
from jobsd.processes.scoreboard import Scoreboard

from . import freshness, health, heartbeats, scraping
from .database_thread import DatabaseThread
from .http import Page, Reply

T = TypeVar("T")

JSON = "application/json"
DEADLINE_S = 2.0
HEALTH_WAIT_S = 0.06
"""A health check answers in a tenth of a second, whatever the database does."""
HEALTH_AGE_S = 1.0


class Pages:
    """Answers for one tree."""

    def __init__(
        self,
        scoreboard: Scoreboard,
        target: Target,
        options: Options,
        database_thread: DatabaseThread,
    ) -> None:
        self._scoreboard = scoreboard
        self._database_thread = database_thread
        self._options = options
        self._scraping = scraping.Scraping(
            target,
            scoreboard,
            database_thread.history,
            options.workers,
            target_s=options.monitor.latency_target_s,
        )
        self._heartbeat = freshness.Fresh(_reader(target, heartbeats.last_heartbeats))

    @cached_property
    def _expected(self) -> health.Expected:
        # Read at the first request: it copies a megabyte of memory shared with the supervisor.
        return health.Expected.by(self._options)

    def by_path(self) -> Mapping[str, Page]:
        """Return the pages by their paths."""
        return {
            "/metrics": self.metrics,
            "/healthz": self.healthz,
            "/livez": self.livez,
            "/readyz": self.readyz,
        }

    def metrics(self, headers: Message) -> Reply:
        """Return the exposition, in the form that the client accepts."""
        # Not loaded before: see `Scraping.answer`.
        from jobsd.instruments.metrics import accepts_openmetrics  # noqa: PLC0415

        openmetrics = accepts_openmetrics(headers.get("Accept", ""))
        body, kind = self._scraping.answer(openmetrics=openmetrics)
        return Reply(HTTPStatus.OK, kind, body)

    def healthz(self, _headers: Message) -> Reply:
        """Return whether jobs run."""
        self._heartbeat.get(max_age_s=HEALTH_AGE_S, wait_s=HEALTH_WAIT_S)
        return _reply(
            health.healthy(self._scoreboard, self._expected, self._latest_heartbeats())
        )

    def livez(self, _headers: Message) -> Reply:
        """Return whether the supervisor's loop ticks."""
        return _reply(health.alive(self._scoreboard))

    def readyz(self, _headers: Message) -> Reply:
        """Return whether the tree can run jobs."""
        return _reply(health.ready(self._scoreboard, self._expected))

    def _latest_heartbeats(self) -> heartbeats.LastHeartbeats:
        asked, seen = self._heartbeat.last, self._database_thread.heartbeats
        return seen if asked is None or seen.seen_at > asked.seen_at else asked


def _reader(target: Target, read: Callable[[Session], T]) -> Callable[[], T]:
    def read_with_own_session() -> T:
        session = Session(target, "jobsd monitor http", deadline_s=DEADLINE_S)
        with contextlib.closing(session):
            return read(session)

    return read_with_own_session


def _reply(answer: health.Answer) -> Reply:
    status = HTTPStatus.OK if answer.good else HTTPStatus.SERVICE_UNAVAILABLE
    return Reply(status, JSON, json.dumps(answer.facts).encode() + b"\n")
