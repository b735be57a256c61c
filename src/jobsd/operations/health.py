"""Judges the health of the queue by evidence: its faults, the worst first.

The pages, `status`, `doctor`, the API and the metrics report this one judgement. It
changes no exit status, and no answer of `/healthz`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jobsd.acts import everything, inspect
from jobsd.acts.everything import PauseOfEverything
from jobsd.database.connection import Session, Statement, Statements

from .queues import claimers, takers
from .words import counted, length, when

Severity = Literal["bad", "warning"]
Row = dict[str, Any]
Rows = list[tuple[Any, ...]]

STATEMENTS = Statements("jobsd.operations", "health.sql")

SEVERITIES: dict[str, Severity] = {
    "not_running": "bad",
    "no_dispatcher": "bad",
    "no_worker": "bad",
    "everything_paused": "bad",
    "failures": "bad",
    "dispatch_late": "warning",
    "late": "warning",
    "paused": "warning",
    "processes": "warning",
}
"""The severity of each finding."""
OVERDUE_S = 10.0
"""A dispatcher makes due jobs ready sooner than this."""
TARGET_S = 60.0
"""The target of a queue that has none: the queue is late when a job has waited longer."""
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
    targets_s: Mapping[str, float] = field(default_factory=dict[str, float])
    """How soon the jobs of queues are to start: see `target_s`."""
    pause: PauseOfEverything | None = None
    """The pause of everything."""
    most_run: Callable[[Sequence[int]], tuple[str, int] | None] = lambda _: None
    """Returns the class of most jobs that some workers run, and the number of these jobs."""

    @property
    def alive(self) -> list[Row]:
        """The living processes."""
        return [row for row in self.processes if row["life"] == "alive"]


def target_s(queue: str, targets_s: Mapping[str, float]) -> float | None:
    """Return how soon the jobs of a queue are to start; None if it has no target.

    The target of `default` is that of all queues without one of their own.
    """
    return targets_s.get(queue, targets_s.get("default"))


def judge(
    session: Session,
    processes: Sequence[Row],
    queues: Sequence[Row],
    targets_s: Mapping[str, float] | None,
) -> list[Finding]:
    """Return the faults, the worst first; `processes` and `queues` are the rows of all.

    Of a row of a queue its name, ready jobs, their oldest age and the pause are enough.
    `targets_s` are those of `monitor.latency_target`.
    """
    wanted = asked()
    rows: list[Rows] = session.fetch_together(list(wanted.values()))
    read = dict(zip(wanted, rows, strict=True))
    seen = evidence(read, processes, queues, targets_s or {})

    def most_run(workers: Sequence[int]) -> tuple[str, int] | None:
        found = session.fetch(STATEMENTS["running"], {"workers": list(workers)})
        return (found[0][0], found[0][1]) if found else None

    return findings(replace(seen, most_run=most_run))


def asked() -> dict[str, tuple[Statement, dict[str, object]]]:
    """Return the statements for the rows of `evidence`, by their names."""
    minutes: dict[str, object] = {"recent": _RECENT, "all": _RECENT + _BEFORE}
    return {
        "dispatch": (STATEMENTS["dispatch"], {}),
        "claimed": (inspect.STATEMENTS["claimed"], {}),
        "failed": (STATEMENTS["failed"], minutes),
        "everything": (everything.STATEMENTS["paused"], {}),
    }


def evidence(
    read: Mapping[str, Rows],
    processes: Sequence[Row],
    queues: Sequence[Row],
    targets_s: Mapping[str, float],
) -> Evidence:
    """Return the evidence in these rows, which `judge` explains."""
    ((overdue_s,),) = read["dispatch"]
    ((now, before),) = read["failed"]
    claimed: dict[int, int] = dict(read["claimed"])
    pause = next((PauseOfEverything(*row) for row in read["everything"]), None)
    return Evidence(
        processes, queues, overdue_s or 0.0, claimed, (now, before), targets_s, pause
    )


def findings(seen: Evidence) -> list[Finding]:
    """Return the faults, the worst first."""
    if not any(row["kind"] == "supervisor" for row in seen.alive):
        sentence = "Nothing runs: jobs wait until a supervisor is started."
        return [_finding("not_running", sentence, "processes")]
    waits = _everything(seen.pause) if seen.pause else [*_overdue(seen), *_queues(seen)]
    found = [*waits, *_failures(*seen.failed), *_processes(seen)]
    return sorted(found, key=lambda each: each.severity != "bad")


def _finding(name: str, sentence: str, page: str) -> Finding:
    return Finding(name, SEVERITIES[name], sentence, page)


def _everything(pause: PauseOfEverything) -> list[Finding]:
    """Report the pause alone: jobs wait because of it."""
    until = "no job starts until `queues resume --all`"
    sentence = f"Everything is paused: {until}; {pause_words(pause)}."
    return [_finding("everything_paused", sentence, "queues")]


def pause_words(pause: PauseOfEverything) -> str:
    """Return since when everything is paused, by whom and why."""
    because = f": {pause.reason}" if pause.reason else ""
    by = pause.created_by or "an unknown user"
    return f"it was paused {when(pause.created_at)} by {by}{because}"


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
    found += _late(seen, [row for row in open_ones if taken[row["name"]]])
    paused = [row["name"] for row in seen.queues if row["paused"]]
    if paused:
        found.append(_finding("paused", f"Paused: {_list(paused)}.", "queues"))
    return found


def _late(seen: Evidence, rows: Sequence[Row]) -> list[Finding]:
    """Report the queue that is late by the largest multiple of its target."""
    late: list[tuple[float, str, str]] = []
    for row in rows:
        name, target = row["name"], target_s(row["name"], seen.targets_s) or TARGET_S
        wait_s = row["oldest_age"].total_seconds() if row["oldest_age"] else 0.0
        if wait_s > target:
            times = f"{length(wait_s)} (target {length(target)})"
            late.append((wait_s / target, name, times))
    if not late:
        return []
    _, name, times = max(late)
    more = f", and {counted(len(late) - 1, 'more queue')}" if len(late) > 1 else ""
    sentence = f"Jobs wait too long: the oldest of queue {name} for {times}{more}"
    return [_finding("late", f"{sentence}{_capacity(seen, name)}.", "queues")]


def _capacity(seen: Evidence, queue: str) -> str:
    """Return a part of a sentence if all workers of a queue are busy."""
    selected = {
        each: ids for each, ids in claimers(seen.processes).items() if each.matches(queue)
    }
    workers = {worker for ids in selected.values() for worker in ids}
    places = {row["id"]: _places(row) for row in seen.processes if row["id"] in workers}
    busy = sum(min(seen.claimed.get(worker, 0), count) for worker, count in places.items())
    if busy < sum(places.values()):
        return ""
    names = [row["name"] for row in seen.queues]
    count = sum(any(each.matches(name) for each in selected) for name in names)
    takes = "it" if count == 1 else counted(count, "queue")
    sentence = f"all capacity that takes {takes} is busy ({busy} of {busy} jobs at once)"
    most = seen.most_run(sorted(workers))
    return f"; {sentence}, {most[1]} with {most[0]}" if most else f"; {sentence}"


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
