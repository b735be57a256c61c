"""A dispatcher: scheduled jobs become ready when they are due.

While it can be woken, it sleeps until the next job is due: who schedules an earlier one
wakes it. It looks by itself every five seconds at least. When it can't be woken (wake-ups
off, a transaction pooler), `polling_interval` is its rhythm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.database.statements import Statements
from jobsd.instruments.events import emit, is_subscribed
from jobsd.processes import registry
from jobsd.processes.process import REST_MAX_S

from .lost_walk import LostWalk
from .maintenance import Maintenance

if TYPE_CHECKING:
    from jobsd.configuration.options import DispatcherOptions, JobsOptions
    from jobsd.database.connection import Target
    from jobsd.processes.context import Context

STATEMENTS = Statements("jobsd.dispatcher", "dispatcher.sql")


class Dispatcher:
    """The loop of a dispatcher process."""

    kind = "dispatcher"

    def __init__(
        self, context: Context, target: Target, options: DispatcherOptions, jobs: JobsOptions
    ) -> None:
        self._context = context
        self._options = options
        self._session = Session(target, f"jobsd {context.name}", listen=True)
        self._maintenance = Maintenance(self._session, options, jobs)
        self._lost_walk = LostWalk(self._session)
        self._row_id = 0
        self._sleeps = False
        self._listened = False
        self._stopping = False

    def connect(self) -> None:
        """Register."""
        self._row_id = registry.enter(
            self._session,
            self._context,
            self.kind,
            {
                "polling_interval": self._options.polling_interval_s,
                "batch_size": self._options.batch_size,
                "concurrency_maintenance_interval": (
                    self._options.concurrency_maintenance_interval_s
                ),
            },
        )
        self._lost_walk.register(self._row_id)
        self._sleeps = False

    def disconnect(self) -> None:
        """Drop the connection."""
        self._session.close()
        self._listened = False
        self._maintenance.begin_anew()
        self._lost_walk.break_off()

    def poll(self) -> float:
        """Dispatch a batch; return 0 while there is more, else the seconds until there is."""
        self._hear()
        # An ear of its own may have broken with the server, which has emptied the table.
        self._sleeps = self._sleeps and self._session.listening
        if self._session.listening and not self._sleeps:
            # Said before we look: who schedules after our look sees that we sleep.
            self._go_to_sleep()
        if self._session.listening and not self._listened:
            # What was said before, nobody has heard.
            self._maintenance.look_now()
        self._listened = self._session.listening
        dispatched, next_s, blocked = self._dispatch()
        self._maintenance.step(blocked=blocked)
        self._lost_walk.step()
        # What came while the statements ran does not make the socket readable any more.
        if self._hear() or dispatched:
            return 0.0
        rest_s = REST_MAX_S if self._session.listening else self._options.polling_interval_s
        if next_s is not None:
            rest_s = min(rest_s, max(0.001, next_s))
        next_at = min(self._maintenance.next_at, self._lost_walk.next_at)
        return min(rest_s, max(0.0, next_at - monotonic()))

    def socket(self) -> int | None:
        """Return the socket on which notifications come."""
        return self._session.fileno()

    def doing(self) -> str:
        """Return what the title says."""
        how = (
            "when due"
            if self._session.listening
            else f"every {self._options.polling_interval_s:g} s"
        )
        return "stopping" if self._stopping else f"dispatching {how}"

    def stop(self) -> None:
        """End: nothing is in hand between two polls."""
        self._stopping = True

    @property
    def stopped(self) -> bool:
        """Whether we were told to stop."""
        return self._stopping

    def farewell(self) -> None:
        """Remove the row."""
        if self._row_id:
            self._maintenance.hand_over()
        registry.leave(self._session, self._context, self._row_id)

    def _hear(self) -> bool:
        payloads = self._session.notifications()
        for payload in payloads:
            if payload.partition(" ")[0] == "limits":
                self._maintenance.look_now()
        return bool(payloads)

    def _dispatch(self) -> tuple[int, float | None, bool]:
        parameters = {"limit": self._options.batch_size}
        row = self._session.fetch(STATEMENTS["dispatch"], parameters)[0]
        dispatched, _, next_s, blocked = row
        if dispatched and is_subscribed("debug"):
            emit("jobs.dispatched", size=dispatched)
        return dispatched, next_s, blocked

    def _go_to_sleep(self) -> None:
        parameters = {"id": self._row_id, "kind": self.kind}
        self._session.fetch(registry.STATEMENTS["sleep"], parameters)
        self._sleeps = True
