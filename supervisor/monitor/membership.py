"""The rows of one tree in `processes`: registered, kept alive, checked, deleted at the end."""

from collections.abc import Mapping

from jobsd.database.connection import Session
from jobsd.database.steps import latest_version
from jobsd.events.events import emit
from jobsd.machine import hostname
from jobsd.processes import registry
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import FREE, TAKEN, UP, Scoreboard, ScoreboardEntry
from jobsd.supervisor.recovery.peers import PeerProcess

from .heartbeats import Beat, Survey, leave


class Membership:
    """The rows of a tree, for the monitor's database thread.

    The supervisor has no connection, so its row is written here, and that of the monitor. The
    other processes write their own rows; here we notice when one was deleted.
    """

    def __init__(
        self, context: Context, session: Session, metadata: Mapping[str, object]
    ) -> None:
        self._scoreboard = context.scoreboard
        self._own = context.entry
        self._session = session
        context.metadata = self._metadata = {**metadata, "number": 1}

    def register(self) -> None:
        """Write the rows of the supervisor and of the monitor, unless they are there."""
        scoreboard = self._scoreboard
        scoreboard.supervisor_row = registry.register(
            self._session,
            kind="supervisor",
            name=supervisor_name(scoreboard),
            supervisor_id=0,
            metadata=_of_supervisor(scoreboard),
            pid=scoreboard.supervisor_pid,
            thresholds=scoreboard.thresholds,
        )
        row_id = registry.register(
            self._session,
            kind="monitor",
            name=self._own.name,
            supervisor_id=scoreboard.supervisor_row,
            metadata=self._metadata,
            thresholds=scoreboard.thresholds,
            supervisor_pid=scoreboard.supervisor_pid,
        )
        self._own.row_id = row_id

    def beats(self) -> list[Beat]:
        """Return the heartbeats of all registered processes of the tree."""
        supervisor = self._scoreboard.supervisor_row
        children = (
            Beat(entry.row_id, entry.ticked_ns, supervisor, entry.ages_s())
            for entry in self._scoreboard.living()
            if entry.row_id
        )
        return [Beat(supervisor, self._scoreboard.ticked_ns, 0), *children]

    def check(self, beats: list[Beat], survey: Survey) -> None:
        """Note in the entries which heartbeats were written, and act on rows that are gone.

        They were deleted by another session, most likely because we seemed dead. A process
        finds that in its entry and is replaced. Supervisor and monitor have no claims, so they
        only register again.
        """
        ticked_ns = {beat.row_id: beat.ticked_ns for beat in beats}
        for entry in self._scoreboard.living():
            if (row_id := entry.row_id) in survey.beaten:
                entry.heartbeat_ns = ticked_ns[row_id]
        lost = ticked_ns.keys() - survey.beaten - survey.locked
        if not lost:
            return
        for entry in self._scoreboard.living():
            if entry.row_id in lost and entry is not self._own and not entry.row_lost:
                entry.row_lost = 1
                _report_deregistered(entry.kind, entry.name, entry.row_id)
        if self._scoreboard.supervisor_row in lost:
            name, row_id = supervisor_name(self._scoreboard), self._scoreboard.supervisor_row
            _report_deregistered("supervisor", name, row_id)
        if self._own.row_id in lost:
            _report_deregistered("monitor", self._own.name, self._own.row_id)
        if lost & {self._scoreboard.supervisor_row, self._own.row_id}:
            self.register()

    def has(self, peer: PeerProcess) -> bool:
        """Return whether a row is of this tree, though its process has not noted its id yet."""
        return peer.name == supervisor_name(self._scoreboard) or any(
            entry.name == peer.name for entry in self._scoreboard.used() if entry.state != FREE
        )

    def holds_claims_of(self, process_id: int) -> bool:
        """Return whether a process of this tree has this id, with or without a row."""
        return any(
            entry.row_id == process_id
            for entry in self._scoreboard.used()
            if entry.state != FREE
        )

    def leave(self) -> None:
        """Delete all rows of the tree, except rows that still have claims."""
        rows = [self._scoreboard.supervisor_row, *(entry.row_id for entry in self._processes())]
        names = [
            supervisor_name(self._scoreboard),
            *(entry.name for entry in self._processes()),
        ]
        leave(
            self._session, [row for row in rows if row], names, self._scoreboard.supervisor_row
        )

    def leave_alone(self) -> None:
        """Delete the row of the monitor alone: a successor will follow."""
        registry.deregister(self._session, self._own.row_id)

    def _processes(self) -> list[ScoreboardEntry]:
        return [entry for entry in self._scoreboard.used() if entry.state in {TAKEN, UP}]


def supervisor_name(scoreboard: Scoreboard) -> str:
    """Return the supervisor's name; if it has none, one that is the same while it lives."""
    if scoreboard.supervisor_name:
        return scoreboard.supervisor_name
    started = registry.start_time(scoreboard.supervisor_pid)
    return f"supervisor-{hostname()}-{scoreboard.supervisor_pid}-{started}"


def _report_deregistered(kind: str, name: str, row_id: int) -> None:
    emit("process.deregistered", kind=kind, process=name, row_id=row_id)


def _of_supervisor(scoreboard: Scoreboard) -> dict[str, object]:
    """Return the metadata of the supervisor's row: its tree, its version of the tables."""
    named = {"tree": scoreboard.tree_name, "number": 1} if scoreboard.tree_name else {}
    return {**named, "tables": latest_version()}
