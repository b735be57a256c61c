"""The pages of one queue, one class and one host."""

from http import HTTPStatus

from jobsd.acts import queues
from jobsd.jobs.registry import check_class, check_queue
from jobsd.operations import history, named, overview
from jobsd.operations.gauges import COUNTED_MAX as QUEUED_MAX

from . import acts, charts, reading
from .http import RefusedRequest
from .routes import Asked, Found, route


@route("/queues/<queue>", "queue")
def show_queue(asked: Asked) -> Found:
    """Read a queue: its figures, its jobs and errors, and the workers that take it."""
    if acts.find(asked.request.path):
        raise RefusedRequest(HTTPStatus.METHOD_NOT_ALLOWED, "An act needs a POST request.")
    name = check_queue(asked.names["queue"])
    reading.plan_each(asked.session)
    most = QUEUED_MAX if asked.request.is_api else overview.COUNTED_MAX + 1
    found = named.of_queue(asked.session, name, asked.shown, asked.threshold_s, most)
    paused = {each.queue_name: each for each in queues.paused(session=asked.session)}
    minutes = history.steps(asked.session, history.SPANS[0], name)
    more = {
        "pause": paused.get(name),
        "done": charts.bars(minutes),
        "of": f' queue:"{name}"',
        "live": "jobs queues processes history",
    }
    return Found(found, more)


@route("/classes/<class_name>", "class")
def show_class(asked: Asked) -> Found:
    """Read a class: its jobs and errors, and the workers that know it."""
    name = check_class(asked.names["class_name"])
    reading.plan_each(asked.session)
    found = named.of_class(asked.session, name, asked.shown, asked.threshold_s)
    hours = history.steps(asked.session, history.DAY_OF_CLASS, name)
    more = {
        "done": charts.bars(hours),
        "of": f' class:"{name}"',
        "ready_max": named.READY_MAX,
        "live": "jobs processes history",
    }
    return Found(found, more)


@route("/hosts/<host>", "host")
def show_host(asked: Asked) -> Found:
    """Read a host: its load, memory and capacity, its processes, and the jobs that they run."""
    found = named.of_host(asked.session, asked.names["host"], asked.shown, asked.threshold_s)
    return Found(found, {"live": "jobs processes"})
