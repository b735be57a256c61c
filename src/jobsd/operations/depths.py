"""How many jobs each queue has in each state: what commands, pages and gauges count alike."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from jobsd.database.connection import Session
from jobsd.database.statements import Statement, Statements

Rows = list[tuple[Any, ...]]
Depths = dict[str, dict[str, int]]

STATEMENTS = Statements("jobsd.operations", "depths.sql")


def depths(session: Session, most: int) -> tuple[Depths, dict[str, float]]:
    """Return how many jobs each queue has in each state, counted up to `most`, and their ages.

    The ages are those of the oldest ready job of each queue, in seconds.
    """
    wanted = asked(most)
    rows: list[Rows] = session.fetch_together(list(wanted.values()))
    read: dict[str, Rows] = dict(zip(wanted, rows, strict=True))
    return by_queue(read)[0], {queue: age_s for queue, _, age_s in read["ready"]}


def asked(
    most: int, *, together_max: int = 0
) -> dict[str, tuple[Statement, dict[str, object]]]:
    """Return the statements whose rows `by_queue` takes, by their names.

    Fewer ready jobs than `together_max` are counted in one pass, on several cores if the server
    likes to: for whoever wants all of them and soon. Else a queue is counted up to `most`.
    """
    limits = {"most": most, "together_max": together_max}
    wanted = {"ready": limits, "elsewhere": {"most": most}}
    if together_max:
        wanted["together"] = {"together_max": together_max}
    return {
        name: (STATEMENTS[name], dict[str, object](values)) for name, values in wanted.items()
    }


def by_queue(read: Mapping[str, Rows]) -> tuple[Depths, dict[str, float]]:
    """Return the jobs by queue and state, and for how long a queue's oldest claim is held."""
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
        # Only so many names are listed; and between the two statements the server may have
        # learned that there are more jobs, or fewer.
        if queue in uncounted:
            found[queue]["ready"] += count
    return found, claim_ages_s
