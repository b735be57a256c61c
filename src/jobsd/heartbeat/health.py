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

    Healthy is a last heartbeat at most `within` ago. Its time is ISO 8601 in UTC, or None
    when there was none. `session` is asked instead of the program's own.

    Raises:
        DatabaseUnreachableError: when nobody can be asked.
    """
    logs = HeartbeatLogs(session=session)
    latest = logs.latest()
    said = latest.executed_at.isoformat().replace("+00:00", "Z") if latest else None
    return {"healthy": logs.verify_recent(within), "last_heartbeat": said}
