"""The page Limits: which keys are full, which jobs hold their slots, which wait."""

from jobsd.operations.limits import KEYS_MAX, WAITING_MAX, limit_rows
from jobsd.operations.words import capped

from .routes import Asked, Found, route


@route("/limits", "limits")
def show_limits(asked: Asked) -> Found:
    """Read the keys that are in use."""
    rows = limit_rows(asked.session)
    waiting = {row["key"]: capped(row["waiting"], WAITING_MAX) for row in rows}
    full = sum(row["full"] for row in rows)
    more = {"waiting": waiting, "full": full, "most": KEYS_MAX, "live": "jobs"}
    return Found(rows, more)
