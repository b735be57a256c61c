"""The monitor's database thread: it keeps the tables and the tree consistent.

When woken it recovers the processes that have died. If peer trees run on the same machine, it
checks each second whether one of their processes has vanished. Once in a heartbeat interval one
statement writes the heartbeats of the whole tree and returns a survey of its surroundings, and
once a minute another one writes the counts of ended jobs (`history`). An outage is waited out;
missed work is done afterwards, since dead processes keep their entries until then.

Invariant: only this thread uses its session, and each attempt ends within the deadline of a few
statements, which `monitor_polled_ns` shows to the supervisor.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace

import psycopg
from psycopg import errors

from jobsd.clock import monotonic, monotonic_ns
from jobsd.configuration.options import Options
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import recognize
from jobsd.errors import SchemaError
from jobsd.processes import registry
from jobsd.processes.context import Context
from jobsd.processes.nap import Nap
from jobsd.processes.outage import Outage
from jobsd.processes.process import REST_MAX_S
from jobsd.scoreboard.scoreboard import FREE
from jobsd.supervisor.hang_detection import round_max_s
from jobsd.supervisor.recovery.peers import PeerProcess, Peers
from jobsd.supervisor.recovery.recovery import REMEMBERED_MAX, Recovery

from .emptiness import Emptiness
from .forced import ForcedCancels
from .heartbeats import LastHeartbeats, Survey, write_heartbeats
from .history import History
from .membership import Membership
from .schema import Schema

DEADLINE_S = 5.0
"""Of one statement: the tree's heartbeats get old meanwhile, but far from too old."""
SCHEMA_REST_S = 1.0
NEAR_REST_S = 1.0
"""Interval between two checks of the peer processes on this machine."""
RETRY_S = 0.1
RETRY_MAX_S = 1.0
"""Interval between two tries to recover a process: another session may hold locks for long."""
SECOND_SURVEY_S = 1.0
"""Time after an exit: a last claim of the dead process may have been on its way."""
EVERYTHING = "everything"
"""The notification that everything was paused or resumed; see acts/everything.sql."""
LAST_S = 0.5
"""How long the end of the tree waits: for locks, and for dying processes."""
LAST_ALONE_S = 0.62
"""The same when the supervisor is gone: processes that did not exit by themselves are killed
after half a second, and our own alarm ends us after 0.7."""


@dataclass(slots=True)
class _Attempt:
    rest_s: float = 0.0


def _session(target: Target, name: str, deadline_s: float) -> Session:
    """Return a session that is notified of cancels by force, and of a pause of everything.

    Not past a pooler: that alone is not worth another connection.
    """
    way = replace(target, listen_url=None)
    return Session(way, name, deadline_s=deadline_s, listen=True, topic="kill")


class DatabaseThread:
    """The loop of the database thread."""

    def __init__(
        self,
        context: Context,
        target: Target,
        options: Options,
        metadata: Mapping[str, object],
        applied: str = "",
    ) -> None:
        supervision = options.supervisor
        self._context = context
        self._scoreboard, self._own = context.scoreboard, context.entry
        # The supervisor replaces us when no attempt has ended for a third of the threshold.
        deadline_s = min(DEADLINE_S, supervision.process_alive_threshold_s / 6)
        self._session = session = _session(target, f"jobsd {context.name}", deadline_s)
        self._interval_s = supervision.heartbeat_interval_s
        self._idle_s = min(REST_MAX_S, round_max_s(supervision.process_alive_threshold_s) / 2)
        keep = options.jobs.preserve_finished_jobs
        self.membership = Membership(context, self._session, metadata)
        self.recovery = Recovery(session, self._own, context.journals, keep_finished=keep)
        supervisor_pid = self._scoreboard.supervisor_pid
        supervisor = supervisor_pid, registry.start_time(supervisor_pid)
        threshold_s = supervision.process_alive_threshold_s
        self._peers = Peers(threshold_s, self._interval_s, supervisor)
        self.schema = Schema(target, applied)
        self._outage = Outage(self._scoreboard, context.entry)
        self._emptiness = Emptiness(self._session, self._scoreboard, options)
        self.history = History(self._session, self._scoreboard)
        self._forced = ForcedCancels(self._session, self._scoreboard, options.jobs.kill_after_s)
        self.nap = Nap()
        """Woken when a process has died."""
        self._last_poll: Callable[[], None] | None = None
        self._registered = False
        self.survey_at = 0.0
        """When the database is next surveyed (monotonic)."""
        self._again_s = RETRY_S / 2
        self._orphans: dict[int, float] = {}
        self._threads: dict[int, int] = {}
        self.heartbeats = LastHeartbeats()
        self.surveyed_at: float | None = None
        """When the database was last surveyed, monotonic."""

    # Called by other threads.

    def finish(self, *, tree_ends: bool, orphaned: bool) -> None:
        """Poll once more, deregister the tree or the monitor alone, and end."""
        if orphaned:
            self._last_poll = self._end_orphaned
        else:
            self._last_poll = self._end_tree if tree_ends else self._end_monitor
        self.nap.wake()

    # The thread.

    def run(self) -> None:
        """Poll until asked to finish."""
        while self._last_poll is None:
            with self._attempt() as attempt:
                attempt.rest_s = self.poll()
            self.nap.take(attempt.rest_s, self._sockets())
        with self._attempt():
            self._last_poll()
        self._session.close()

    def _sockets(self) -> list[int]:
        """Return the sockets that end a nap: none before `poll` reads them."""
        fileno = self._session.fileno() if self._registered else None
        return [] if fileno is None else [fileno]

    def poll(self) -> float:
        """Do all due work; return the seconds to rest."""
        if not self._is_registered():
            return SCHEMA_REST_S
        self.recovery.report_committed()
        notified = self._session.notifications()
        if EVERYTHING in notified:
            self.survey_at = 0.0
        dead = self._scoreboard.dead()
        recovered = [self._progress(self.recovery.recover(entry)) for entry in dead]
        if self._scoreboard.journals_unread:
            self._recover_journals()
            self._scoreboard.journals_unread = 0
        left = self._recover_vanished() or not all(recovered)
        if dead:
            self.survey_at = min(self.survey_at, monotonic() + SECOND_SURVEY_S)
        if monotonic() >= self.survey_at:
            left = self._survey() or left
        self.history.poll()
        forced = any(payload != EVERYTHING for payload in notified)
        rests_s = self._emptiness.poll(), self._forced.poll(notified=forced)
        return min(self._rest_s(again=left), *rests_s)

    @contextlib.contextmanager
    def _attempt(self) -> Generator[_Attempt]:
        """Show the supervisor when an attempt begins and ends; wait out an outage."""
        attempt = _Attempt()
        # Otherwise the rest before it counted as a part of the attempt.
        self._note_poll()
        try:
            yield attempt
        except (psycopg.Error, SchemaError) as error:
            attempt.rest_s = self._back_off(error)
        else:
            self._outage.over()
        self._note_poll()

    def _back_off(self, error: psycopg.Error | SchemaError) -> float:
        """Drop the connection; return how long to wait before the next attempt."""
        self._session.close()
        self._scoreboard.database_up = 0
        self.survey_at = 0.0
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | SchemaError):
            self.schema.are_gone()
            self._registered = False
        return self._outage.note(error)

    def _progress(self, done: bool) -> bool:  # noqa: FBT001 - a returned value
        """Return whether a process was recovered; note progress either way.

        There may be many to recover, and each takes several statements: a busy monitor must not
        be taken for one that hangs.
        """
        self._note_poll()
        return done

    def _note_poll(self) -> None:
        self._scoreboard.monitor_polled_ns = monotonic_ns()

    def _is_registered(self) -> bool:
        """Return whether the tree has its rows; write them once there are tables."""
        if not self.schema.ready(self._note_poll):
            return False
        if not self._session.connected:
            recognize(self._session)
            self._outage.recognized()
        if not self._registered:
            self.membership.register()
            self._registered = True
            self._context.nap.wake()
        return self._registered

    def _rest_s(self, *, again: bool) -> float:
        """Return the time until work is due; `again`: a row was locked."""
        self._again_s = min(RETRY_MAX_S, self._again_s * 2) if again else RETRY_S / 2
        if again:
            return self._again_s
        rest_s = NEAR_REST_S if self._peers.near else self._idle_s
        return min(rest_s, max(0.0, self.survey_at - monotonic()))

    # Recovery; each returns whether work is left for the next poll.

    def _recover_journals(self) -> bool:
        used = [entry for entry in self._scoreboard.used() if entry.state != FREE]
        recovered = self.recovery.recover_journals([entry.name for entry in used])
        return not self._progress(recovered)

    def _recover_vanished(self) -> bool:
        left = False
        for peer in self._peers.vanished():
            if self._progress(self.recovery.recover_vanished(peer)):
                self._peers.forget(peer)
            else:
                left = True
        return left

    def _prune(self) -> bool:
        left = False
        for peer, still_s in self._peers.standing_still(monotonic()):
            if self._progress(self.recovery.prune(peer, still_s)):
                self._peers.forget(peer)
            else:
                left = True
        return left

    # The survey.

    def _survey(self) -> bool:
        beats = self.membership.beats()
        seen = write_heartbeats(self._session, beats)
        now = monotonic()
        # A process that registered before its supervisor is attributed to it by a second
        # survey. And a session that holds a row locked may be about to delete it.
        soon = self.surveyed_at is None or bool(seen.locked)
        self._scoreboard.database_up = 1
        self._scoreboard.everything_paused = seen.everything_paused
        self.surveyed_at, self.heartbeats = now, seen.heartbeats
        self.membership.check(beats, seen)
        others = [each for each in seen.others if not self.membership.has(each)]
        self._remember_threads(others)
        self._peers.see(others, now)
        left = self._recover_journals()
        left = self._recover_vanished() or left
        left = self._prune() or left
        self._settle_orphans(seen, now)
        sooner_s = SECOND_SURVEY_S if soon else max(RETRY_S, self._peers.due_in_s(now))
        self.survey_at = now + min(self._interval_s, sooner_s)
        return left

    def _remember_threads(self, others: list[PeerProcess]) -> None:
        """Remember the capacity of each process, in case its row goes before its claims."""
        if len(self._threads) > REMEMBERED_MAX:
            self._threads.clear()
        self._threads.update((each.id, each.threads) for each in others)

    def _settle_orphans(self, seen: Survey, now: float) -> None:
        """Recover orphaned claims once they were seen for an interval.

        Claims of a process that we have recovered are recovered at once. Our own living
        processes keep theirs: they know that they have lost their rows, and drain.
        """
        unowned = [each for each in seen.orphans if not self.membership.holds_claims_of(each)]
        self._orphans = {each: self._orphans.get(each, now) for each in unowned}
        for process_id, since in self._orphans.items():
            if self.recovery.is_dead(process_id) or now - since >= self._interval_s:
                self.recovery.take_claims(process_id, self._threads.get(process_id))

    # The last poll.

    def _end_tree(self) -> None:
        self._recover_all(monotonic() + LAST_S)
        self.membership.leave()
        self.history.write()

    def _end_monitor(self) -> None:
        self.membership.leave_alone()
        self.history.write()

    def _recover_all(self, end: float) -> None:
        """Recover the dead, again while last statements of theirs still hold locks."""
        while monotonic() < end:
            recovered = [self.recovery.recover(entry) for entry in self._scoreboard.dead()]
            if all(recovered):
                return
            self.nap.take(0.02)

    def _end_orphaned(self) -> None:
        """Recover the other processes, which exit now too: we know best what they ran."""
        end = monotonic() + LAST_ALONE_S
        self._recover_all(end)
        waiting = [entry for entry in self._scoreboard.living() if entry is not self._own]
        while waiting and monotonic() < end:
            gone = [entry for entry in waiting if not registry.start_time(entry.pid)]
            waiting = [entry for entry in waiting if entry not in gone]
            for entry in gone:
                self.recovery.recover(entry, orphaned=True)
            self.nap.take(0.02)
        self.membership.leave()
