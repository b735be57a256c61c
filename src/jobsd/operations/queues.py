"""The queues as rows: the number and age of their jobs in each state, and their pauses."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from jobsd.acts import queues
from jobsd.database.connection import Session, Statement, Statements
from jobsd.jobs import selection

Rows = list[tuple[Any, ...]]
Depths = dict[str, dict[str, int]]

STATEMENTS = Statements("jobsd.operations", "depths.sql")


def depths(session: Session, most: int) -> tuple[Depths, dict[str, float]]:
    """Return the number of jobs of each queue in each state, up to `most`, and their ages.

    The ages are those of the oldest ready job of each queue, in seconds.
    """
    wanted = asked(most)
    rows: list[Rows] = session.fetch_together(list(wanted.values()))
    read: dict[str, Rows] = dict(zip(wanted, rows, strict=True))
    return by_queue(read)[0], {queue: age_s for queue, _, age_s in read["ready"]}


def asked(
    most: int, *, together_max: int = 0
) -> dict[str, tuple[Statement, dict[str, object]]]:
    """Return the statements for the rows of `by_queue`, by their names.

    Fewer ready jobs than `together_max` are counted in one pass, on several cores if the server
    chooses to: this is the fastest way to count all. Otherwise a queue is counted up to `most`.
    """
    limits = {"most": most, "together_max": together_max}
    wanted = {"ready": limits, "elsewhere": {"most": most}}
    if together_max:
        wanted["together"] = {"together_max": together_max}
    return {
        name: (STATEMENTS[name], dict[str, object](values)) for name, values in wanted.items()
    }


def by_queue(read: Mapping[str, Rows]) -> tuple[Depths, dict[str, float]]:
    """Return the jobs by queue and state, and the age of the oldest claim of each queue."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    claim_ages_s: dict[str, float] = {}
    for queue, state, count, age_s in read["elsewhere"]:
        found[queue][state] = count
        if age_s is not None:
            claim_ages_s[queue] = age_s
    uncounted = set[str]()
    for queue, count, _ in read["ready"]:
        found[queue]["ready"] = count or 0
        if count is None:
            uncounted.add(queue)
    for queue, count in read.get("together", ()):
        # The list of names is bounded; and between the two statements the server may have
        # learned that there are more jobs, or fewer.
        if queue in uncounted:
            found[queue]["ready"] += count
    return found, claim_ages_s


Row = dict[str, Any]


COUNTED_MAX = 100_000
"""The maximum that is counted of a queue's jobs in one state; a million would take longer than
all other reads.
"""


def queue_rows(
    session: Session, most: int = COUNTED_MAX, *, also: Sequence[str] = ()
) -> list[Row]:
    """Return the queues by name: those with unended jobs, paused ones, idle ones, and `also`.

    An idle queue is named by a worker or a task, or one of the latest jobs was in it. Of each
    state of a queue at most `most` jobs are counted.
    """
    counts, ages_s = depths(session, most)
    pauses = {pause.queue_name: pause for pause in queues.paused(session=session)}
    idle = {name for (name,) in session.fetch(STATEMENTS["idle"])}
    names = sorted({*counts, *pauses, *idle, *also})
    return [
        {
            "name": name,
            "ready": counts.get(name, {}).get("ready", 0),
            "oldest_age": _age(ages_s.get(name)),
            "paused": name in pauses,
            "reason": pauses[name].reason if name in pauses else None,
            "paused_by": pauses[name].created_by if name in pauses else None,
            "jobs": dict(counts.get(name, {})),
        }
        for name in names
    ]


def queue_row(session: Session, name: str, most: int = COUNTED_MAX) -> Row:
    """Return the row of one queue, also if it is not known."""
    return next(row for row in queue_rows(session, most, also=[name]) if row["name"] == name)


def by_urgency(rows: Sequence[Row]) -> list[Row]:
    """Return the most urgent queues first: the longest, then the oldest."""
    return sorted(
        rows,
        key=lambda row: (
            -row["ready"],
            -(row["oldest_age"] or timedelta()),
            -sum(row["jobs"].values()),
            row["name"],
        ),
    )


def takers(rows: Sequence[Row], processes: Sequence[Row]) -> dict[str, int]:
    """Return the number of living workers, without quiet ones, that claim from each queue."""
    # Most workers claim from the same queues: each selection is matched once.
    selected = claimers(processes).items()
    return {
        row["name"]: sum(
            len(workers) for each, workers in selected if each.matches(row["name"])
        )
        for row in rows
    }


def claimers(processes: Sequence[Row]) -> dict[selection.Selection, list[int]]:
    """Return the ids of living workers, without quiet ones, by their selection of queues."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for process in processes:
        if (
            process["kind"] == "worker"
            and process["life"] == "alive"
            and not process["metadata"].get("quiet")
        ):
            found[str(process["metadata"].get("queues", "*"))].append(process["id"])
    return {
        selection.Selection(tuple(names.split(","))): workers
        for names, workers in found.items()
    }


def _age(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=max(0.0, seconds))
