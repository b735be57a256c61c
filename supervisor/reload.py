"""Reload (HUP): the configuration is read again, and applied by a rolling restart.

Children are matched by kind and order: the second worker gets the new configuration of the
second worker. First new children get a process, then each child gets a successor, and only
after that surplus children are stopped. The first successor that can't start ends the reload:
the remaining children stay unchanged.
"""

from collections.abc import Callable, Iterable, Sequence

from jobsd import clock, errors
from jobsd.configuration.faults import report
from jobsd.logs.redaction import redact
from jobsd.scoreboard.scoreboard import Scoreboard

from .child_table import ChildTable
from .children import EXIT_CONFIGURATION, Child, ChildSpec
from .events import emit
from .requests import Requester
from .rolling_restart import RollingRestart, Step

EXIT_FAILED = 1
SETTLE_S = 0.1
"""A burst of HUPs is one reload: it begins when no HUP has come for this time."""

# Workers come first, so that no job is enqueued for code that no worker has yet.
_ORDER = ("worker", "dispatcher", "scheduler", "web", "hooks", "monitor")


class Reload:
    """The reload that is requested or under way, if there is one.

    `read` returns the specs for the tree, or None; an error that it raises is reported, and
    changes no child. `notify` sends lines to systemd.
    """

    def __init__(
        self,
        scoreboard: Scoreboard,
        table: ChildTable,
        rolling_restart: RollingRestart,
        read: Callable[[], Sequence[ChildSpec] | None],
        notify: Callable[[str], None],
    ) -> None:
        self._scoreboard = scoreboard
        self._table = table
        self._rolling_restart = rolling_restart
        self._read = read
        self._notify = notify
        self._began = 0.0
        self._specs: Sequence[ChildSpec] = ()
        self._steps: list[Step] | None = None
        self._surplus: list[Child] = []
        self._added: list[Child] = []
        self.due: float | None = None
        self._requesters: list[Requester] = []
        """The requesters since the last reload began."""
        self._waiting: list[Requester] = []
        """The requesters that wait for the end of the reload that is under way."""

    def request(self, requester: Requester | None = None, *, stopping: bool = False) -> None:
        """Reload soon, unless the tree stops; `requester` waits for the outcome."""
        self.due = clock.monotonic() + SETTLE_S
        if requester is not None:
            self._requesters.append(requester)
        if stopping:
            self.abandon()

    def abandon(self) -> None:
        """Answer all requesters that the tree stops instead."""
        self._waiting += self._requesters
        self._answer(EXIT_FAILED, "error: the supervisor is stopping")
        self._requesters = []

    def begin(self, now: float) -> None:
        """Begin the reload if it is due."""
        if self.due is not None and now >= self.due:
            self.due = None
            self._begin(now)

    def finish_if_done(self, now: float) -> None:
        """End the reload if all its steps are done, or one has failed."""
        if self._steps is None:
            return
        failed = next((step for step in self._steps if step.outcome == "failed"), None)
        if failed is not None:
            name = failed.new.entry.name if failed.new else f"the {failed.spec.kind}"
            at_fault = failed.new is not None and failed.new.exit_status == EXIT_CONFIGURATION
            message = f"{name} did not start; the children not reached yet stay as they were"
            self._fail(message, EXIT_CONFIGURATION if at_fault else EXIT_FAILED)
        elif all(step.outcome for step in self._steps) and not self._follow_up():
            self._finish(now)

    def _begin(self, now: float) -> None:
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}")
        try:
            specs = self._read()
        except Exception as error:  # noqa: BLE001 - the old configuration goes on
            self._refuse(error)
            return
        if specs is None:
            self._refuse("the new configuration was refused")
            return
        # Requesters of a reload that is overtaken get the outcome of this one.
        self._waiting += self._requesters
        self._requesters = []
        self._began = now
        self._specs = specs
        self._rolling_restart.abandon()
        self._plan(specs)

    def _plan(self, specs: Sequence[ChildSpec]) -> None:
        children = self._table.children
        self._steps, self._surplus, self._added = [], [], []
        for kind in _ORDER:
            wanted = [s for s in specs if s.kind == kind for _ in range(s.count)]
            have = [child for child in children if child.spec.kind == kind]
            pairs = zip(have, wanted, strict=False)
            self._steps += [Step(child, spec, "reload") for child, spec in pairs]
            self._surplus += have[len(wanted) :]
            self._added += [Child(spec) for spec in wanted[len(have) :]]
        children += self._added
        self._rolling_restart.plan(self._steps)

    def _follow_up(self) -> bool:
        """Plan steps for the children that TTIN has added meanwhile; return whether any."""
        self._steps = []
        for child in self._table.children:
            if child.spec in self._specs or child in self._surplus:
                continue
            if spec := self._next(child):
                self._steps.append(Step(child, spec, "reload"))
            else:
                self._surplus.append(child)
        self._rolling_restart.plan(self._steps)
        return bool(self._steps)

    def _next(self, child: Child) -> ChildSpec | None:
        """Return the new spec that is most like that of a child."""
        alike = [spec for spec in self._specs if spec.kind == child.spec.kind]
        return min(alike, key=lambda spec: spec.label != child.spec.label, default=None)

    def _finish(self, now: float) -> None:
        self._retire(self._surplus)
        duration = round(now - self._began, 3)
        emit(self._scoreboard, "supervisor.reloaded", duration=duration)
        self._scoreboard.count_reload("done")
        self._end()
        self._answer(0, duration=duration)

    def _fail(self, error: str, status: int) -> None:
        """Fail the reload; the children it has added are removed again."""
        self._retire(self._added)
        self._report_failure(error)
        self._scoreboard.count_reload("failed")
        self._end()
        self._answer(status, f"error: {error}", hint="its log says why")

    def _refuse(self, error: object) -> None:
        """Refuse the configuration: no child changes, and a reload under way goes on."""
        self._report_failure(error)
        self._scoreboard.count_reload("refused")
        if self._steps is None:
            self._end()
        under_way, self._waiting = self._waiting, self._requesters
        if isinstance(error, errors.ConfigurationError):
            self._answer(EXIT_CONFIGURATION, report(error.faults))
        else:
            self._answer(EXIT_CONFIGURATION, f"error: {error}")
        self._waiting, self._requesters = under_way, []

    def _answer(self, status: int, message: str = "", **facts: object) -> None:
        for requester in self._waiting:
            requester.answer(status, redact(message), **facts)
        self._waiting = []

    def _report_failure(self, error: object) -> None:
        # A stack of our own code does not help the author of a faulty file.
        reason = str(error) if isinstance(error, errors.ConfigurationError) else error
        emit(self._scoreboard, "supervisor.reload_failed", error=reason)

    def _retire(self, children: Iterable[Child]) -> None:
        for child in children:
            if child in self._table.children:
                self._table.retire(child)

    def _end(self) -> None:
        self._steps = None
        self._surplus, self._added = [], []
        self._notify("READY=1")
