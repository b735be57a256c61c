"""The rows of one tree: written, kept alive, watched, and removed at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.instruments.events import emit
from jobsd.machine import hostname
from jobsd.processes import registry
from jobsd.processes.slot import FREE, TAKEN, UP

from .look import Beat, leave

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobsd.database.connection import Session
    from jobsd.processes.board import Board
    from jobsd.processes.process import Context
    from jobsd.processes.slot import Slot

    from .look import Look, Stranger


class Membership:
    """Speaks to the `processes` table for a tree. Used by the monitor's database thread.

    The supervisor has no connection, so its row is written here, and that of the monitor.
    The other processes write their own; here it is seen when somebody deletes one.
    """

    def __init__(
        self, context: Context, session: Session, metadata: Mapping[str, object]
    ) -> None:
        self._board = context.board
        self._own = context.slot
        self._session = session
        self._metadata = {**metadata, "place": 1}

    def register(self) -> None:
        """Write the rows of the supervisor and of the monitor, or find that they are there."""
        board = self._board
        board.supervisor_row = registry.register(
            self._session,
            kind="supervisor",
            name=supervisor_name(board),
            supervisor_id=0,
            metadata={"tree": board.tree_name, "place": 1} if board.tree_name else {},
            pid=board.supervisor_pid,
            thresholds=board.thresholds,
        )
        row_id = registry.register(
            self._session,
            kind="monitor",
            name=self._own.name,
            supervisor_id=board.supervisor_row,
            metadata=self._metadata,
            thresholds=board.thresholds,
            supervisor_pid=board.supervisor_pid,
        )
        self._own.set_row(row_id)

    def beats(self) -> list[Beat]:
        """Return the heartbeats of all that are registered."""
        supervisor = self._board.supervisor_row
        children = (
            Beat(slot.row_id, slot.ticked_ns, supervisor)
            for slot in self._board.living()
            if slot.row_id
        )
        return [Beat(supervisor, self._board.ticked_ns, 0), *children]

    def check(self, beats: list[Beat], look: Look) -> None:
        """Tell the processes what their rows say now, and act on rows that are gone.

        Somebody has deleted these, most likely because we seemed dead.
        The others are told by their slots, and make room for successors. Supervisor and
        monitor have claimed nothing, so they write their rows anew.
        """
        ticked_ns = {beat.row_id: beat.ticked_ns for beat in beats}
        for slot in self._board.living():
            if (row_id := slot.row_id) in look.beaten:
                slot.beaten_ns = ticked_ns[row_id]
        lost = ticked_ns.keys() - look.beaten - look.locked
        if not lost:
            return
        for slot in self._board.living():
            if slot.row_id in lost and slot is not self._own and not slot.row_lost:
                slot.lose_row()
                _tell_lost(slot.kind, slot.name, slot.row_id)
        if self._board.supervisor_row in lost:
            name, row_id = supervisor_name(self._board), self._board.supervisor_row
            _tell_lost("supervisor", name, row_id)
        if self._own.row_id in lost:
            _tell_lost("monitor", self._own.name, self._own.row_id)
        if lost & {self._board.supervisor_row, self._own.row_id}:
            self.register()

    def has(self, stranger: Stranger) -> bool:
        """Return whether a row is of this tree, though its process has not said its id yet."""
        return stranger.name == supervisor_name(self._board) or any(
            slot.name == stranger.name for slot in self._board.used() if slot.state != FREE
        )

    def holds_claims_of(self, process_id: int) -> bool:
        """Return whether a process of this tree goes by this id, whether its row is there."""
        return any(
            slot.row_id == process_id for slot in self._board.used() if slot.state != FREE
        )

    def leave(self) -> None:
        """Remove every row of the tree, but for those that still have claims."""
        rows = [self._board.supervisor_row, *(slot.row_id for slot in self._processes())]
        names = [supervisor_name(self._board), *(slot.name for slot in self._processes())]
        leave(self._session, [row for row in rows if row], names, self._board.supervisor_row)

    def leave_alone(self) -> None:
        """Remove the row of the monitor: another one will follow."""
        registry.deregister(self._session, self._own.row_id)

    def _processes(self) -> list[Slot]:
        return [slot for slot in self._board.used() if slot.state in {TAKEN, UP}]


def supervisor_name(board: Board) -> str:
    """Return the supervisor's name; if it has none, one that stays while it lives."""
    if board.supervisor_name:
        return board.supervisor_name
    started = registry.start_time(board.supervisor_pid)
    return f"supervisor-{hostname()}-{board.supervisor_pid}-{started}"


def _tell_lost(kind: str, name: str, row_id: int) -> None:
    emit("process.lost_its_row", kind=kind, process=name, row_id=row_id)
