"""A dispatcher: scheduled jobs become ready when they are due.

While it is registered as idle, it rests until the next job is due: a client that schedules an
earlier job notifies it. It polls at least every five seconds. When no notification can come
(wake-ups off, a transaction pooler), it polls every `polling_interval`.

States: connecting (register), then polling: a step of each duty that is due, and none while
everything is paused. The duties are to
dispatch due jobs, check the limits, discard expired jobs and clear old rows. Between two polls
it holds no work.
"""

from typing import Any, Protocol

from jobsd.clock import monotonic
from jobsd.configuration.options import DispatcherOptions, JobsOptions
from jobsd.database.connection import Session, Target
from jobsd.processes.context import Context
from jobsd.processes.database_loop import DatabaseLoop
from jobsd.processes.idle_registration import IdleRegistration
from jobsd.processes.process import REST_MAX_S

from .dispatching import Dispatching
from .maintenance import Clearing, Expiry, LimitsCheck


class Duty(Protocol):
    """A part of the work of a dispatcher, done a few statements at a time."""

    @property
    def next_at(self) -> float:
        """When the next step is due (monotonic)."""
        ...

    def step(self) -> None:
        """Do the next statements."""

    def restart(self) -> None:
        """Note an outage: do again what it interrupted."""


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
        self._idle = IdleRegistration(self.session, self.kind)
        self.dispatching = Dispatching(self.session, options)
        self.limits = LimitsCheck(self.session, options, self.dispatching)
        keep = jobs.preserve_finished_jobs
        self._duties: list[Duty] = [
            self.dispatching,
            self.limits,
            Expiry(self._commits, context.entry, self.dispatching, keep=keep),
            Clearing(self.session, options),
        ]

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
        for duty in self._duties:
            duty.restart()

    def poll(self) -> float:
        """Give each duty that is due a step; return the seconds until the next one.

        A batch of due jobs is dispatched in each poll.
        """
        self._commits.emit_committed()
        self._listen()
        if self.paused:
            return REST_MAX_S
        self._register_idle()
        for duty in self._duties:
            if duty is self.dispatching or duty.next_at <= monotonic():
                duty.step()
        return self._rest_s()

    def doing(self) -> str:
        """Return the text of the process title."""
        if self._stopping:
            return "stopping"
        if self.session.listening:
            return "dispatching when due"
        return f"dispatching every {self._options.polling_interval_s:g} s"

    def farewell(self) -> None:
        """Leave unfinished checks of limits to other dispatchers, and delete the row."""
        if self.process_id:
            self.limits.ask_others()
        super().farewell()

    def _listen(self) -> bool:
        """Receive notifications; return whether there were any."""
        payloads = self.session.notifications()
        for payload in payloads:
            if payload.partition(" ")[0] == "limits":
                self.limits.check_now()
        if payloads:
            self.dispatching.ask()
        return bool(payloads)

    def _register_idle(self) -> None:
        """Register as idle before the dispatch: a client that schedules a job later sees it."""
        if self._idle.register(self.process_id):
            # An earlier notification has not reached us.
            self.limits.check_now()
            self.dispatching.ask()

    def _rest_s(self) -> float:
        # Notifications received during the statements no longer make the socket readable.
        if self._listen():
            return 0.0
        rest_s = REST_MAX_S if self.session.listening else self._options.polling_interval_s
        next_at = min(duty.next_at for duty in self._duties)
        return min(rest_s, max(0.0, next_at - monotonic()))
