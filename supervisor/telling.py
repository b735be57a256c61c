"""Telling what has happened without ever being stopped by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd.instruments.events import emit

if TYPE_CHECKING:
    from jobsd.processes.board import Board


def tell(board: Board, event: str, /, **facts: Any) -> None:  # noqa: ANN401 - as `emit`
    """Emit an event; a subscriber that raises costs the line, which is counted."""
    try:
        emit(event, **facts)
    except Exception:  # noqa: BLE001 - the loop goes on, whatever a subscriber does
        board.dropped_lines += 1
