"""The page Limits: full keys, the jobs that hold their slots, the waiting jobs."""

from jobsd.operations import limits, words

from .routes import Asked, Found, route


@route("/limits", "limits")
def show_limits(asked: Asked) -> Found:
    """Read the keys in use."""
    rows = limits.limit_rows(asked.session)
    waiting = {row["key"]: words.capped(row["waiting"], limits.WAITING_MAX) for row in rows}
    full = sum(row["full"] for row in rows)
    more = {"waiting": waiting, "full": full, "most": limits.KEYS_MAX, "live": "jobs"}
    return Found(rows, more)
