"""Judges the health of the queue by evidence: its faults, the worst first.

The pages, `status`, `doctor`, the API and the metrics report this one judgement. It
changes no exit status, and no answer of `/healthz`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from jobsd.acts import inspect
from jobsd.database.connection import Session, Statement, Statements
from jobsd.jobs.selection import Selection

from .queues import takers
from .words import counted, length

Severity = Literal["bad", "warning"]
Row = dict[str, Any]
Rows = list[tuple[Any, ...]]

STATEMENTS = Statements("jobsd.operations", "health.sql")

SEVERITIES: dict[str, Severity] = {
    "not_running": "bad",
    "no_dispatcher": "bad",
    "no_worker": "bad",
    "failures": "bad",
    "dispatch_late": "warning",
    "late": "warning",
    "paused": "warning",
    "processes": "warning",
}
"""The severity of each finding."""
OVERDUE_S = 10.0
"""A dispatcher makes due jobs ready sooner than this."""
WAIT = timedelta(minutes=1)
"""The age of the oldest ready job from which its queue is late."""
FAILURES_MIN, FAILURES_RATIO = 10, 3.0
_RECENT = 5
"""The number of minutes that are compared with the rest of the hour."""
_BEFORE = 54
"""The minutes of the hour before these: trees write a minute once it has ended."""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: its name and severity, a sentence, and the page about it."""

    name: str
    severity: Severity
    sentence: str
    page: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the health is judged by: the rows of all processes and queues, and some figures."""

    processes: Sequence[Row]
    queues: Sequence[Row]
    overdue_s: float
    """The age of the oldest due job that is not ready."""
    claimed: dict[int, int]
    """The number of jobs of each process."""
    failed: tuple[int, int]
    """The attempts that failed in the last minutes, and in the hour before."""

    @property
    def alive(self) -> list[Row]:
        """The living processes."""
        return [row for row in self.processes if row["life"] == "alive"]


def judge(session: Session, processes: Sequence[Row], queues: Sequence[Row]) -> list[Finding]:
    """Return the faults, the worst first; `processes` and `queues` are the rows of all.

    Of a row of a queue its name, ready jobs, their oldest age and the pause are enough.
    """
    wanted = asked()
    rows: list[Rows] = session.fetch_together(list(wanted.values()))
    return findings(evidence(dict(zip(wanted, rows, strict=True)), processes, queues))


def asked() -> dict[str, tuple[Statement, dict[str, object]]]:
    """Return the statements whose rows `evidence` takes, by their names."""
    minutes: dict[str, object] = {"recent": _RECENT, "all": _RECENT + _BEFORE}
    return {
        "dispatch": (STATEMENTS["dispatch"], {}),
        "claimed": (inspect.STATEMENTS["claimed"], {}),
        "failed": (STATEMENTS["failed"], minutes),
    }


def evidence(
    read: Mapping[str, Rows], processes: Sequence[Row], queues: Sequence[Row]
) -> Evidence:
    """Return the evidence in these rows, which `judge` explains."""
    ((overdue_s,),) = read["dispatch"]
    ((now, before),) = read["failed"]
    return Evidence(processes, queues, overdue_s or 0.0, dict(read["claimed"]), (now, before))


def findings(seen: Evidence) -> list[Finding]:
    """Return the faults, the worst first."""
    if not any(row["kind"] == "supervisor" for row in seen.alive):
        sentence = "Nothing runs: jobs wait until a supervisor is started."
        return [_finding("not_running", sentence, "processes")]
    found = [*_overdue(seen), *_queues(seen), *_failures(*seen.failed), *_processes(seen)]
    return sorted(found, key=lambda each: each.severity != "bad")


def _finding(name: str, sentence: str, page: str) -> Finding:
    return Finding(name, SEVERITIES[name], sentence, page)


def _overdue(seen: Evidence) -> list[Finding]:
    if seen.overdue_s < OVERDUE_S:
        return []
    late = f"the first has been due for {length(seen.overdue_s)}"
    if not any(row["kind"] == "dispatcher" for row in seen.alive):
        sentence = f"No dispatcher runs, and scheduled jobs are overdue: {late}."
        return [_finding("no_dispatcher", sentence, "processes")]
    sentence = f"Dispatchers fall behind: scheduled jobs are overdue, {late}."
    return [_finding("dispatch_late", sentence, "jobs?q=state:scheduled")]


def _queues(seen: Evidence) -> list[Finding]:
    taken = takers(seen.queues, seen.processes)
    open_ones = [row for row in seen.queues if not row["paused"]]
    found: list[Finding] = []
    left = [row["name"] for row in open_ones if row["ready"] and not taken[row["name"]]]
    if left:
        sentence = f"Jobs wait in queues from which no running worker claims: {_list(left)}."
        found.append(_finding("no_worker", sentence, "queues"))
    late = [
        row for row in open_ones if taken[row["name"]] and (row["oldest_age"] or WAIT) > WAIT
    ]
    if late:
        first = max(late, key=lambda row: row["oldest_age"])
        more = f", and {counted(len(late) - 1, 'more queue')}" if len(late) > 1 else ""
        sentence = (
            f"Jobs wait long: the oldest of queue {first['name']}"
            f" for {length(first['oldest_age'].total_seconds())}{more}"
        )
        cause = _capacity(seen, first["name"])
        found.append(_finding("late", f"{sentence}{cause}.", "queues"))
    paused = [row["name"] for row in seen.queues if row["paused"]]
    if paused:
        found.append(_finding("paused", f"Paused: {_list(paused)}.", "queues"))
    return found


def _capacity(seen: Evidence, queue: str) -> str:
    """Return a part of a sentence if all workers of a queue are busy."""
    workers = [
        row
        for row in seen.alive
        if row["kind"] == "worker"
        and not row["metadata"].get("quiet")
        and Selection(tuple(str(row["metadata"].get("queues", "*")).split(","))).matches(queue)
    ]
    places = sum(_places(row) for row in workers)
    busy = sum(min(seen.claimed.get(row["id"], 0), _places(row)) for row in workers)
    if busy < places:
        return ""
    return f"; all capacity that takes it is busy ({busy} of {places} jobs at once)"


def _places(row: Row) -> int:
    return int(row["metadata"].get("threads") or 1)


def _failures(now: int, before: int) -> list[Finding]:
    """Compare the last minutes with the rest of the hour."""
    usual = before / _BEFORE * _RECENT
    if now < FAILURES_MIN or now < FAILURES_RATIO * usual:
        return []
    sentence = (
        f"{counted(now, 'attempt')} failed in the last {_RECENT} minutes;"
        f" in the hour before, {usual:.0f} did in such a time."
    )
    return [_finding("failures", sentence, "history")]


def _processes(seen: Evidence) -> list[Finding]:
    dead = [row for row in seen.processes if row["life"] != "alive"]
    if not dead:
        return []
    names = ", ".join(f"{row['kind']} {row['pid']} on {row['hostname']}" for row in dead[:3])
    have = "has" if len(dead) == 1 else "have"
    of_all = f"{len(dead)} of {len(seen.processes)} processes"
    sentence = f"{of_all} {have} no recent heartbeat: {names}."
    return [_finding("processes", sentence, "processes")]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
