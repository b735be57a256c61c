"""The facts of each page, read by the functions of `operations`."""

import json
from dataclasses import asdict
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from jobsd import clock, machine
from jobsd.acts import inspect, listing, queues
from jobsd.heartbeat import log
from jobsd.heartbeat.log import HeartbeatLogs
from jobsd.operations import audit, failures, history, named, overview
from jobsd.operations import jobs as job_rows
from jobsd.operations import tasks as task_rows
from jobsd.operations.bulk import ACTS, BulkAct
from jobsd.operations.gauges import COUNTED_MAX as QUEUED_MAX
from jobsd.operations.processes import processes, trees
from jobsd.operations.queues import by_urgency, queue_rows, takers
from jobsd.operations.search import SEEN_MAX, Search, read_search
from jobsd.recurring import runs, tasks

from . import bulk, charts, http, reading
from .job_facts import died, progress
from .routes import Asked, Found, route
from .strips import strips

Row = dict[str, Any]

ROWS = 50
_NAMED = 8
_FURTHER = 100
"""The maximum of groups of failures on the overview; those beyond _NAMED are folded."""
LOGS_SHOWN = 10
"""The number of attempts whose logs a page shows, if they are kept."""
_NEWEST = 2_000
"""The number of the newest jobs among which ended ones are counted."""
_SEARCH_S, _PERIOD_SEARCH_S, _FURTHER_S = 0.04, 0.25, 1.0
"""The time for reading jobs; longer if the search has a period, or goes on by itself."""
_ENDED = frozenset({"finished", "discarded"})
_DAY = timedelta(hours=24)


@route("/", "overview")
def show_overview(asked: Asked) -> Found:
    """Read the facts that `status` prints."""
    targets_s = asked.settings.latency_targets_s
    seen = overview.overview(
        asked.session, asked.threshold_s, _most(asked), targets_s=targets_s
    )
    seen.recurring[:] = map(asked.shown.task, seen.recurring)
    counts, groups = _totals(asked), overview.failure_groups(asked.session)
    minutes = history.steps(asked.session, history.SPANS[0])
    more = {
        "alive": len(seen.alive),
        "counts": _counts(counts),
        "threads": overview.threads(asked.session, seen.alive),
        "queues": by_urgency(seen.queues)[:_NAMED],
        "groups": groups[:_NAMED],
        "more_groups": groups[_NAMED:_FURTHER],
        "retrying": failures.retrying(asked.session)[:_NAMED],
        "retrying_max": failures.RETRYING_MAX,
        "trees": trees(seen.processes),
        "done": charts.bars(minutes),
        "live": "jobs queues processes recurring heartbeats history",
    }
    return Found(seen.document(), more)


@route("/jobs", "jobs")
def show_jobs(asked: Asked) -> Found:
    """Read a page of the jobs that the search finds, the newest first."""
    query = asked.request.query
    search = read_search(query.get("q", ""), asked.shown.names)
    before = _before(query)
    has_period = search.meant.given().keys() & {*listing.PERIODS}
    # The number of jobs that the search has read before this page, if it goes on by itself.
    seen_before = _number(query.get("on", ""))
    reading.plan_each(asked.session)
    bounds = {"before": before, "seen_max": SEEN_MAX}
    within_s = _within_s(has_period=bool(has_period), goes_on=seen_before is not None)
    found = listing.listed(asked.session, search.meant, ROWS, **bounds, within_s=within_s)
    rows = job_rows.rows(found.jobs, asked.shown)
    states = {row["state"] for row in rows}
    following = rows[-1]["id"] if len(rows) == ROWS else None
    further = None if found.complete else found.last_id
    if asked.request.is_api:
        return Found({"jobs": rows, **_reach(found), "next": following or further})
    seen = found.seen + (seen_before or 0)
    more = {
        "search": query.get("q", ""),
        "number": _number(query.get("q", "")),
        "problems": search.problems,
        "state_of_search": search.meant.state,
        "bulk": _bulk(search, states if found.complete and len(rows) < ROWS else None),
        "chosen": _of_chosen(states),
        "counts": _counts(_totals(asked)),
        "complete": found.complete,
        "searched": _searched(seen, search.meant, listing.BEYOND if seen_before else before),
        "seen": seen,
        "goes_on": seen_before is not None and not rows and further is not None,
        "has_period": bool(has_period),
        "oldest": found.oldest,
        "next": following,
        "further": further,
        "first": before == listing.BEYOND,
        "live": "jobs" if before == listing.BEYOND else None,
    }
    return Found(rows, more)


@route("/jobs/<id>", "job")
def show_job(asked: Asked) -> Found:
    """Read one job, its attempts, and why it is not running."""
    job_id = _number(asked.names["id"])
    if job_id is None:
        raise http.RefusedRequest(HTTPStatus.NOT_FOUND, "A job's id is a whole number.")
    seen = job_rows.examine(asked.session, job_id, asked.threshold_s)
    logs = job_rows.logs(asked.session, job_id, LOGS_SHOWN)
    document = seen.document(seen.facts(asked.shown))
    more = {
        "reasons": seen.why,
        "logs": logs,
        "progress": progress(document["progress"]),
        "died": [died(error, job_id) for error in document["errors"]],
        # An ended job stays as it is.
        "live": None if document["state"] in _ENDED else "jobs queues processes",
    }
    return Found(document, more)


@route("/queues", "queues")
def show_queues(asked: Asked) -> Found:
    """Read the queues."""
    rows = queue_rows(asked.session, _most(asked))
    if asked.request.is_api:
        return Found(rows)
    since = {each.queue_name: each for each in queues.paused(session=asked.session)}
    more = {
        "pauses": since,
        "done": history.finished_by_queue(asked.session, history.SPANS[0]),
        "workers": takers(rows, processes(asked.session, asked.threshold_s)),
        "live": "jobs queues processes history",
    }
    return Found(rows, more)


@route("/recurring", "recurring")
def show_tasks(asked: Asked) -> Found:
    """Read the recurring tasks in the order of their next runs."""
    return Found(
        [asked.shown.task(row) for row in task_rows.listed(asked.session)],
        {"live": "recurring"},
    )


@route("/recurring/<key>", "task")
def show_task(asked: Asked) -> Found:
    """Read one recurring task, its next runs and its last runs."""
    now = clock.utc_now()
    task = tasks.get(asked.session, asked.names["key"])
    latest = runs.history(asked.session, task.key, 20)
    late = task_rows.why_late(
        asked.session, task, latest[0] if latest else None, now, asked.threshold_s
    )
    facts = asked.shown.task(task_rows.task_row(task, now))
    history = [task_rows.history_row(task, run, now) for run in latest]
    # A hidden value can't be typed again, so the field is empty.
    typed = "" if facts["arguments"] != task_rows.task_row(task, now)["arguments"] else None
    typed = json.dumps(facts["arguments"]) if typed is None else typed
    return Found(
        {**facts, "late": late, "next_runs": task.next_runs(5), "history": history},
        {"live": "recurring jobs", "typed_arguments": typed},
    )


@route("/processes", "processes")
def show_processes(asked: Asked) -> Found:
    """Read the processes table."""
    rows = processes(asked.session, asked.threshold_s)
    claimed = inspect.claimed(asked.session)
    return Found(
        rows,
        {
            "claimed": claimed,
            "hosts": named.hosts(rows, claimed),
            "own_host": machine.hostname(),
            "live": "processes jobs",
        },
    )


@route("/heartbeats", "heartbeats")
def show_heartbeats(asked: Asked) -> Found:
    """Read the heartbeats of a day, and the gaps between them."""
    beats = list(HeartbeatLogs(session=asked.session).recent(log.ROWS_MAX, _DAY))
    latest = HeartbeatLogs(session=asked.session).latest()
    gaps = log.gaps(asked.session, "5m", _DAY) if latest else []
    more = {
        "latest": latest,
        "gaps": [{**asdict(gap), "duration_s": gap.duration_s} for gap in gaps[-20:][::-1]],
        "strips": strips(beats, clock.utc_now()),
        "live": "heartbeats",
    }
    return Found([asdict(beat) for beat in beats[:100]], more)


@route("/audit", "audit")
def show_audit(asked: Asked) -> Found:
    """Read the audit of manual acts."""
    before = _before(asked.request.query)
    rows = audit.rows(asked.session, ROWS, before)
    return Found(rows, {"next": rows[-1]["id"] if len(rows) == ROWS else None})


def _number(text: str) -> int | None:
    """Return the id in a text; None if there is none."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _before(query: dict[str, str]) -> int:
    """Return the id below which a page begins.

    Raises:
        RefusedRequest: when it is no id.
    """
    given = query.get("before", "").strip()
    if given and not given.removeprefix("-").isdigit():
        raise http.RefusedRequest(HTTPStatus.BAD_REQUEST, "`before` in an address is an id.")
    return _number(given) or listing.BEYOND


def _within_s(*, has_period: bool, goes_on: bool) -> float:
    """Return the time for reading jobs."""
    return _FURTHER_S if goes_on else _PERIOD_SEARCH_S if has_period else _SEARCH_S


def _reach(found: listing.Listed) -> Row:
    """Return how far a search has come, for programs."""
    return {"seen": found.seen, "complete": found.complete, "oldest": found.oldest}


def _bulk(search: Search, states: set[str] | None) -> list[BulkAct]:
    """Return the acts that are possible on all jobs that a search finds.

    `states` are those of the found jobs; None if there may be others.
    """
    if search.problems or search.meant == listing.Filter():
        return []
    state = search.meant.state
    return [
        act
        for act in ACTS.values()
        if (state in act.states or (state is None and act.name == "discard"))
        and (states is None or states.intersection(act.states))
    ]


def _of_chosen(states: set[str]) -> list[BulkAct]:
    """Return the acts that are possible on jobs of a page that are chosen one by one."""
    return [ACTS[name] for name in bulk.CHOSEN if states.intersection(ACTS[name].states)]


def _most(asked: Asked) -> int:
    """Return the bound for counting a queue's jobs; pages show that there are more."""
    return QUEUED_MAX if asked.request.is_api else overview.COUNTED_MAX + 1


def _searched(seen: int, meant: listing.Filter, before: int) -> str:
    """Return which jobs a search has read."""
    if before != listing.BEYOND:
        return f"{seen:,} older jobs"
    return f"{seen:,} jobs of the period" if meant.has_end else f"the newest {seen:,} jobs"


def _totals(asked: Asked) -> overview.Totals:
    return overview.totals(asked.session, scheduled=0, newest=_NEWEST)


def _counts(found: overview.Totals) -> list[tuple[str, str]]:
    """Return the number of jobs in each state, as far as they were counted."""
    states = ("ready", "claimed", "scheduled", "blocked", "failed", "finished", "discarded")
    return [(state, found.shown(state)) for state in states]
