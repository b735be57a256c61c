"""The monitor's database thread: it keeps the tables and the tree true to each other.

When woken it recovers whatever has died; beside trees of the same machine it looks each
second whether one of their processes has vanished. Each heartbeat interval it looks at the
database: one statement writes the heartbeats of the whole tree and returns what
there is to judge. An outage is waited out; what could not be done is done afterwards,
since the dead keep their entries until then.

Invariant: only this thread uses its session, and each attempt ends within the deadline of
a few statements, which `monitor_polled_ns` shows to the supervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.connection import Session
from jobsd.processes import registry
from jobsd.processes.nap import Nap
from jobsd.processes.outage import Outage
from jobsd.processes.process import REST_MAX_S
from jobsd.supervisor.hang_detection import round_max_s

from .heartbeats import LastHeartbeat, write_heartbeats
from .membership import Membership
from .peers import Peers
from .recovery import REMEMBERED_MAX, Recovery
from .schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobsd.configuration.options import Options
    from jobsd.database.connection import Target
    from jobsd.processes.process import Context

    from .heartbeats import PeerProcess, Survey

DEADLINE_S = 5.0
"""Of one statement: the tree's rows get old meanwhile, but far from too old."""
TABLES_REST_S = 1.0
NEAR_REST_S = 1.0
"""Between two looks at the processes of other trees that the kernel can be asked about."""
RETRY_S = 0.1
RETRY_MAX_S = 1.0
"""Between two tries to settle what the dead have left: somebody may hold it locked for long."""
SECOND_SURVEY_S = 1.0
"""After a death: a last claim of the dead process may have been on its way."""
LAST_S = 0.5
"""How long, at the end of the tree, others are waited for: locks, and dying processes."""
LAST_ALONE_S = 0.62
"""The same when the supervisor is gone: those who did not end by themselves are killed after
half a second, and our own alarm ends us after 0.7."""


class DatabaseLoop:
    """What the thread does, round by round."""

    def __init__(
        self,
        context: Context,
        target: Target,
        options: Options,
        metadata: Mapping[str, object],
    ) -> None:
        supervision = options.supervisor
        self._context = context
        self._scoreboard = context.scoreboard
        self._own = context.entry
        # The supervisor replaces us when we have not come round for a third of the threshold.
        deadline_s = min(DEADLINE_S, supervision.process_alive_threshold_s / 6)
        self._session = Session(target, f"jobsd {context.name}", deadline_s=deadline_s)
        self._interval_s = supervision.heartbeat_interval_s
        self._rest_s = min(REST_MAX_S, round_max_s(supervision.process_alive_threshold_s) / 2)
        keep = options.jobs.preserve_finished_jobs
        self._membership = Membership(context, self._session, metadata)
        self._recovery = Recovery(self._session, context.entry, keep_finished=keep)
        supervisor = (
            self._scoreboard.supervisor_pid,
            registry.start_time(self._scoreboard.supervisor_pid),
        )
        threshold_s = supervision.process_alive_threshold_s
        self._peers = Peers(threshold_s, self._interval_s, supervisor)
        self._schema = Schema(target)
        self._outage = Outage(self._scoreboard, context.entry)
        self._nap = Nap()
        self._last_words: Callable[[], None] | None = None
        self._registered = False
        self._due = 0.0
        self._again_s = RETRY_S / 2
        self._orphans: dict[int, float] = {}
        self._threads: dict[int, int] = {}
        self.heartbeat = LastHeartbeat()
        self.surveyed_at: float | None = None
        """When the database was last looked at with success, monotonic."""

    # Called by other threads.

    def wake(self) -> None:
        """Come round now: somebody has died."""
        self._nap.wake()

    def finish(self, *, tree_ends: bool, orphaned: bool) -> None:
        """Come round once more, say goodbye for the tree or for the monitor alone, and end."""
        if orphaned:
            self._last_words = self._end_orphaned
        else:
            self._last_words = self._end_tree if tree_ends else self._end_monitor
        self._nap.wake()

    # The thread.

    def run(self) -> None:
        """Go round until told to finish."""
        while self._last_words is None:
            self._nap.take(self._attempt(self._turn))
        self._attempt(self._last_words)
        self._session.close()

    def _attempt(self, turn: Callable[[], float | None]) -> float:
        """Do a turn; return how long to rest, also after one that has failed."""
        # Else the rest before counted to what the turn takes.
        self._came_round()
        try:
            rest_s = turn() or 0.0
        except psycopg.Error as error:
            rest_s = self._suffer(error)
        else:
            self._outage.over()
        self._came_round()
        return rest_s

    def _suffer(self, error: psycopg.Error) -> float:
        self._session.close()
        self._scoreboard.database_up = 0
        self._due = 0.0
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
            self._schema.are_gone()
            self._registered = False
        return self._outage.note(error)

    def _came_round(self) -> None:
        self._scoreboard.monitor_polled_ns = monotonic_ns()

    def _turn(self) -> float:
        if not self._registered:
            if not self._schema.ready(self._came_round):
                return TABLES_REST_S
            self._membership.register()
            self._registered = True
            self._context.nap.wake()
        self._recovery.catch_up()
        left = self._recover_dead()
        left = self._recover_vanished() or left
        if monotonic() >= self._due:
            left = self._survey() or left
        self._again_s = min(RETRY_MAX_S, self._again_s * 2) if left else RETRY_S / 2
        if left:
            return self._again_s
        rest_s = NEAR_REST_S if self._peers.near else self._rest_s
        return min(rest_s, max(0.0, self._due - monotonic()))

    # The dead; each returns whether something is left for the next turn.

    def _recover_dead(self) -> bool:
        dead = self._scoreboard.dead()
        recovered = [self._recovery.recover(entry) for entry in dead]
        if dead:
            self._due = min(self._due, monotonic() + SECOND_SURVEY_S)
        return not all(recovered)

    def _recover_vanished(self) -> bool:
        left = False
        for peer in self._peers.vanished():
            if self._recovery.recover_vanished(peer):
                self._peers.forget(peer)
            else:
                left = True
        return left

    def _prune(self) -> bool:
        left = False
        for peer, still_s in self._peers.standing_still(monotonic()):
            if self._recovery.prune(peer, still_s):
                self._peers.forget(peer)
            else:
                left = True
        return left

    # The look.

    def _survey(self) -> bool:
        beats = self._membership.beats()
        seen = write_heartbeats(self._session, beats)
        now = monotonic()
        # Who registered before its supervisor comes to belong to it with a second look. And who
        # holds a row locked may be about to delete it.
        soon = self.surveyed_at is None or bool(seen.locked)
        self._scoreboard.database_up = 1
        self.surveyed_at, self.heartbeat = now, seen.heartbeat
        self._membership.check(beats, seen)
        others = [each for each in seen.others if not self._membership.has(each)]
        self._remember_threads(others)
        self._peers.see(others, now)
        left = self._recover_vanished()
        left = self._prune() or left
        self._settle_orphans(seen, now)
        sooner_s = SECOND_SURVEY_S if soon else max(RETRY_S, self._peers.due_in_s(now))
        self._due = now + min(self._interval_s, sooner_s)
        return left

    def _remember_threads(self, others: list[PeerProcess]) -> None:
        """Keep how many threads a process had, for when its row is gone but not its claims."""
        if len(self._threads) > REMEMBERED_MAX:
            self._threads.clear()
        self._threads.update((each.id, each.threads) for each in others)

    def _settle_orphans(self, seen: Survey, now: float) -> None:
        """Take the claims of processes without a row, once they were seen for an interval.

        At once when we have recovered the process. Those of our own living processes are
        theirs: they were told that they have lost their rows, and drain.
        """
        unowned = [each for each in seen.orphans if not self._membership.holds_claims_of(each)]
        self._orphans = {each: self._orphans.get(each, now) for each in unowned}
        for process_id, since in self._orphans.items():
            if self._recovery.is_dead(process_id) or now - since >= self._interval_s:
                self._recovery.take_claims(process_id, self._threads.get(process_id, 0))

    # The last words.

    def _end_tree(self) -> None:
        self._recover_all(monotonic() + LAST_S)
        self._membership.leave()

    def _end_monitor(self) -> None:
        self._membership.leave_alone()

    def _recover_all(self, end: float) -> None:
        """Recover the dead, again while last statements of theirs still hold locks."""
        while self._recover_dead() and monotonic() < end:
            self._nap.take(0.02)

    def _end_orphaned(self) -> None:
        """Say what ran in the others, who end now too; nobody knows it better."""
        end = monotonic() + LAST_ALONE_S
        self._recover_all(end)
        waiting = [entry for entry in self._scoreboard.living() if entry is not self._own]
        while waiting and monotonic() < end:
            gone = [entry for entry in waiting if not registry.start_time(entry.pid)]
            waiting = [entry for entry in waiting if entry not in gone]
            for entry in gone:
                self._recovery.recover_orphan(entry)
            self._nap.take(0.02)
        self._membership.leave()
