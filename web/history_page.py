"""The page History: charts of jobs, waits and runs, and a table by class."""

from jobsd.operations import history

from .charts import bars, lines
from .routes import Asked, Found, route

NAMED = 50


@route("/history", "history")
def show_history(asked: Asked) -> Found:
    """Read the history of one span, of one queue or all."""
    query = asked.request.query
    span = history.span_named(query.get("span", ""))
    # By class there are hours, by queue minutes.
    queue = query.get("queue") or None if span.table == "minutes" else None
    steps = history.steps(asked.session, span, queue)
    by_class = history.classes(asked.session, span)
    more = {
        "span": span,
        "spans": history.SPANS,
        "queue": queue,
        "steps": [(at, done) for at, done in steps if done.attempts][::-1],
        "done": bars(steps),
        "waits": lines(steps, "wait"),
        "runs": lines(steps, "run"),
        "classes": by_class[:NAMED],
        "slowest": sorted(by_class, key=lambda each: -(each[1].run_p95_s or 0))[:NAMED],
        "live": "history",
    }
    return Found(history.document(span, steps, by_class), more)
