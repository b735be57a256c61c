"""The preview of a schedule while it is typed: its next runs, or why it is invalid."""

from jobsd.clock import utc_now
from jobsd.schedules import explain

from .routes import Asked, Found, route

RUNS = 5
_LENGTH_MAX = 500


@route("/recurring/preview", "preview")
def show_preview(asked: Asked) -> Found:
    """Read the schedule as `recurring explain` does; it needs no database."""
    query = asked.request.query
    text = query.get("schedule", "")[:_LENGTH_MAX]
    zone = query.get("time_zone", "").strip() or asked.settings.time_zone
    return Found(explain(text, zone, RUNS, utc_now()), {"typed": text.strip()})
