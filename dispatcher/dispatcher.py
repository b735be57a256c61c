"""A dispatcher: scheduled jobs become ready when they are due.

While it is registered as idle, it rests until the next job is due: a client that schedules an
earlier job notifies it. It polls at least every five seconds. When no notification can come
(wake-ups off, a transaction pooler), it polls every `polling_interval`.

States: connecting (register), then polling: dispatch due jobs, maintain limits, discard expired
jobs. Between two polls it holds no work.
"""

from typing import Any, NamedTuple

from jobsd.clock import monotonic
from jobsd.configuration.options import DispatcherOptions, JobsOptions
from jobsd.database.connection import Session, Statements, Target
from jobsd.events.events import emit, is_subscribed
from jobsd.processes.context import Context
from jobsd.processes.database_loop import DatabaseLoop
from jobsd.processes.idle_registration import IdleRegistration
from jobsd.processes.process import REST_MAX_S

from .due_cursor import DueCursor, Place
from .maintenance import Expiry, Maintenance

STATEMENTS = Statements("jobsd.dispatcher", "dispatcher.sql")


class _Batch(NamedTuple):
    """A dispatched batch: when the next job is due and expires; whether jobs are blocked."""

    size: int
    next_s: float | None
    blocked: bool
    expires_s: float | None


class Dispatcher(DatabaseLoop):
    """The loop of a dispatcher process."""

    kind = "dispatcher"

    def __init__(
        self, context: Context, target: Target, options: DispatcherOptions, jobs: JobsOptions
    ) -> None:
        super().__init__(
            context, Session(target, f"jobsd {context.name}", listen=True, topic="due")
        )
        self._options = options
        self._idle = IdleRegistration(self._session, self.kind)
        self._maintenance = Maintenance(self._session, options)
        keep = jobs.preserve_finished_jobs
        self._cursor = DueCursor()
        self._expiry = Expiry(self._commits, context.entry, keep=keep)

    def metadata(self) -> dict[str, Any]:
        """Return the configuration of this dispatcher, which its row shows."""
        return {
            "polling_interval": self._options.polling_interval_s,
            "batch_size": self._options.batch_size,
            "concurrency_maintenance_interval": (
                self._options.concurrency_maintenance_interval_s
            ),
        }

    def connect(self) -> None:
        """Register."""
        super().connect()
        self._idle.forget()

    def disconnect(self) -> None:
        """Drop the connection; work that the outage interrupted is done again."""
        super().disconnect()
        self._cursor.reset()
        self._maintenance.restart()
        self._expiry.restart()

    def poll(self) -> float:
        """Dispatch a batch; return the seconds until the next poll, 0 if more jobs are due."""
        self._commits.emit_committed()
        self._listen()
        self._register_idle()
        batch = self._dispatch()
        self._maintenance.step(blocked=batch.blocked)
        self._expiry.step(batch.expires_s)
        return self._rest_s(batch)

    def doing(self) -> str:
        """Return the text of the process title."""
        if self._stopping:
            return "stopping"
        if self._session.listening:
            return "dispatching when due"
        return f"dispatching every {self._options.polling_interval_s:g} s"

    def farewell(self) -> None:
        """Leave unfinished checks of limits to other dispatchers, and delete the row."""
        if self._process_id:
            self._maintenance.ask_others()
        super().farewell()

    def _listen(self) -> bool:
        """Receive notifications; return whether there were any."""
        payloads = self._session.notifications()
        for payload in payloads:
            if payload.partition(" ")[0] == "limits":
                self._maintenance.check_now()
        if payloads:
            self._cursor.ask()
        return bool(payloads)

    def _register_idle(self) -> None:
        """Register as idle before the dispatch: a client that schedules a job later sees it."""
        if self._idle.register(self._process_id):
            # An earlier notification has not reached us.
            self._maintenance.check_now()
            self._cursor.ask()

    def _dispatch(self) -> _Batch:
        if not self._session.listening:
            self._cursor.ask()
        after = self._cursor.begin()
        parameters = {"limit": self._options.batch_size, **after.parameters()}
        ((size, _, *rest, at, priority, job_id, passed),) = self._session.fetch(
            STATEMENTS["dispatch"], parameters
        )
        last = None if at is None else Place(at, priority, job_id)
        self._cursor.end(last, passed=passed)
        if size and is_subscribed("debug"):
            emit("jobs.dispatched", size=size)
        return _Batch(size, *rest)

    def _rest_s(self, batch: _Batch) -> float:
        # Notifications received during the statements no longer make the socket readable.
        if self._listen() or batch.size:
            return 0.0
        rest_s = REST_MAX_S if self._session.listening else self._options.polling_interval_s
        if batch.next_s is not None:
            rest_s = min(rest_s, max(0.001, batch.next_s))
        next_at = min(
            self._maintenance.next_at,
            self._expiry.next_at,
            self._cursor.next_at,
        )
        return min(rest_s, max(0.0, next_at - monotonic()))
