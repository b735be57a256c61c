"""Events of the supervisor, emitted so that no subscriber can stop its loop."""

from typing import Any

from jobsd.events import events
from jobsd.scoreboard.scoreboard import Scoreboard


def emit(scoreboard: Scoreboard, event: str, /, **facts: Any) -> None:  # noqa: ANN401
    """Emit an event; if a subscriber raises, its line is lost and counted."""
    try:
        events.emit(event, **facts)
    except Exception:  # noqa: BLE001 - the loop goes on, whatever a subscriber does
        scoreboard.dropped_lines += 1
