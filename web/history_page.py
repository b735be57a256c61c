"""The page History: charts of jobs, waits and runs, and a table by class."""

from jobsd.operations import history

from . import charts, routes

NAMED = 50


@routes.route("/history", "history")
def show_history(asked: routes.Asked) -> routes.Found:
    """Read the history of an hour, a day or a month, of one queue or of all."""
    query = asked.request.query
    span = history.span_named(query.get("span", ""))
    # Classes have steps of hours only, queues of minutes only.
    asked_queue = query.get("queue") or None
    queue = asked_queue if span.table == "minutes" else None
    steps = history.steps(asked.session, span, queue)
    by_class = history.classes(asked.session, span)
    more = {
        "span": span,
        "spans": history.SPANS,
        "queue": queue,
        "asked_queue": asked_queue,
        "steps": [
            (at, done, period)
            for (at, done), period in zip(steps, charts.periods(steps), strict=True)
            if done.attempts
        ][::-1],
        "of_queue": "" if queue is None else f' queue:"{queue}"',
        "done": charts.bars(steps),
        "waits": charts.lines(steps, "wait"),
        "runs": charts.lines(steps, "run"),
        "classes": by_class[:NAMED],
        "slowest": sorted(by_class, key=lambda each: -(each[1].run_p95_s or 0))[:NAMED],
        "live": "history",
    }
    return routes.Found(history.document(span, steps, by_class), more)
