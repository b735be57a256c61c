"""One answer for a health check: does the heart still beat?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .log import HeartbeatLogs

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .log import Duration


def health_status(
    within: Duration = "10m", *, session: Session | None = None
) -> dict[str, Any]:
    """Return `{"healthy": …, "last_heartbeat": …}`, as a health check's JSON.

    It is healthy if the last heartbeat is at most `within` old. The time is ISO 8601 in UTC,
    or None if there was no heartbeat. `session` replaces the program's own.

    Raises:
        DatabaseUnreachableError: when the database cannot be reached.
    """
    logs = HeartbeatLogs(session=session)
    latest = logs.latest()
    said = latest.executed_at.isoformat().replace("+00:00", "Z") if latest else None
    return {"healthy": logs.verify_recent(within), "last_heartbeat": said}
