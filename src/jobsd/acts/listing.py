"""The filters of `list`, and of every operation on many jobs.

Jobs are read from the newest on, or from the end of the period that is selected, a page in one
statement, through the table of their state if it has one. So a rare match costs time, but no
statement costs much; a listing without the begin of a period reads 100,000 jobs at most.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from jobsd import errors, job_states
from jobsd.clock import monotonic, utc_now
from jobsd.database.connection import Session, Statement, Statements
from jobsd.jobs.registry import check_class, check_count, check_queue
from jobsd.jobs.time_limits import duration_s
from jobsd.text import is_storable

from .inspect import JobRow
from .periods import ALWAYS, ANY_LENGTH, MARGIN, Lasting, Period, age, first_id_after

STATEMENTS = Statements("jobsd.acts", "listing.sql")

SEARCH_MAX = 100_000
"""The maximum of jobs that `listed` reads if the search does not bound their age."""
PAGE = 10_000
_PAGE_MIN, _PAGE_MAX = 1_000, 100_000
BEYOND = 2**63 - 1
"""Higher than all ids of jobs."""
_ENDED = frozenset({"finished", "discarded"})


@dataclass(frozen=True, slots=True)
class Filter:
    """The jobs to select; None means all.

    Each period is that of a moment in a job's life: its enqueue, its last start, its end as
    finished or discarded, and its failure for good. `ran` is how long its last attempt has
    taken until now or its end, `waited` how long it was due before that attempt, or is now.

    In `class_name` and `error`, * stands for any characters and ? for one. `error` is any part
    of the error by which a failed job has failed, `Type: message`; `error_type` is the whole
    name of its type. `key` is that of a concurrency limit, `host` the host of the process that
    has claimed it. The argument named `argument` is one of `values` (JSON), also where it is
    positional, by the published signature. Each of `words` is a part of its class, its queue or
    its error; it has all of `tags`.

    Raises:
        Error: for an invalid value.
    """

    state: str | None = None
    queue_name: str | None = None
    class_name: str | None = None
    enqueued: Period = ALWAYS
    error: str | None = None
    error_type: str | None = None
    started: Period = ALWAYS
    finished: Period = ALWAYS
    failed: Period = ALWAYS
    ran: Lasting = ANY_LENGTH
    waited: Lasting = ANY_LENGTH
    key: str | None = None
    host: str | None = None
    argument: str | None = None
    values: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in job_states.STATES:
            raise errors.Error(
                f"{self.state!r} is not a state; the states are {', '.join(job_states.STATES)}"
            )
        if self.queue_name is not None:
            check_queue(self.queue_name)
        if self.class_name is not None:
            check_class(self.class_name)
        texts = (self.error, self.error_type, self.key, self.host, *self.words, *self.tags)
        for text in texts:
            if text is not None and not is_storable(text):
                raise errors.Error(f"{text!r} can't be in a job: PostgreSQL can't store it")

    def of(self, state: str) -> Filter:
        """Return the filter for jobs of this state."""
        return replace(self, state=state)

    def given(self) -> dict[str, Any]:
        """Return the filters that narrow the selection, by their names."""
        named = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        return {name: value for name, (value, default) in named.items() if value != default}

    @property
    def has_age(self) -> bool:
        """Whether the jobs depend on the time at which they are selected."""
        return any(getattr(self, name).has_age for name in PERIODS)

    @property
    def has_end(self) -> bool:
        """Whether a period ends before the newest job, so that a search begins there."""
        return any(getattr(self, name).until is not None for name in PERIODS)

    def parameters(self, now: datetime) -> dict[str, Any]:
        """Return the parameters of a search; ages are counted from `now`."""
        ended = self.state in _ENDED
        return {
            "outcome": self.state if ended else None,
            "place": None if ended else self.state,
            "queue_name": self.queue_name,
            "class_name": None if self.class_name is None else _like(self.class_name),
            "error": None if self.error is None else f"%{_like(self.error)}%",
            "error_type": self.error_type,
            "key": self.key,
            "host": self.host,
            "tags": list(self.tags) or None,
            "argument": self.argument,
            "arguments": self._as_keywords() or None,
            "values": list(self.values) or None,
            "words": [f"%{_like(word)}%" for word in self.words] or None,
            "ran": list(map(float, self.ran)) if self.ran != ANY_LENGTH else None,
            "waited": list(map(float, self.waited)) if self.waited != ANY_LENGTH else None,
            **self._sides(now),
        }

    def _as_keywords(self) -> list[str]:
        """Return the arguments that a job has: keywords alone, or behind positional ones."""
        name = json.dumps(self.argument, ensure_ascii=False)
        alone = [f"{{{name}: {value}}}" for value in self.values]
        return [*alone, *(f'[{{"$keywords": {keywords}}}]' for keywords in alone)]

    def enqueued_before(self, now: datetime) -> datetime | None:
        """Return a moment before which all these jobs were enqueued, if there is one."""
        begun = [getattr(self, name).at(now).until for name in PERIODS[1:]]
        enqueued = self.enqueued.at(now).until
        # The earliest moments have no margin before the end of all time.
        margin = [] if enqueued is None else [enqueued + min(MARGIN, _LATEST - enqueued)]
        return min((each for each in (*begun, *margin) if each is not None), default=None)

    def _sides(self, now: datetime) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for name in PERIODS:
            since, until = getattr(self, name).at(now).texts()
            found |= {f"{name}_since": since, f"{name}_until": until}
        return found


_LATEST = datetime.max.replace(tzinfo=UTC)
PERIODS = ("enqueued", "started", "finished", "failed")


class Listed(NamedTuple):
    """The jobs that were found, the number of jobs that were read, and the time of the last.

    `complete` is false if older jobs, which were not read, may match too.
    """

    jobs: list[JobRow]
    seen: int
    oldest: datetime | None
    complete: bool
    last_id: int | None = None
    """The lowest id that was read."""


def wanted(
    state: str | None = None,
    queue: str | None = None,
    class_name: str | None = None,
    since: float | str | timedelta | None = None,
) -> Filter:
    """Return a filter from the arguments of a program.

    Raises:
        Error: for an invalid argument.
    """
    enqueued = ALWAYS if since is None else Period(age(duration_s("since", since)))
    return Filter(state, queue, class_name, enqueued)


def listed(  # noqa: PLR0913 - which jobs, and how many of them
    session: Session,
    meant: Filter,
    limit: int = 20,
    *,
    before: int = BEYOND,
    seen_max: int | None = None,
    within_s: float | None = None,
) -> Listed:
    """Return the newest matching jobs with ids lower than `before`.

    If the filter does not bound their age, at most `seen_max` are read. After the first PAGE
    the size of each next read is estimated so that the whole stays `within_s`.
    """
    until = monotonic() + (within_s or 0)
    left = SEARCH_MAX if seen_max is None else seen_max
    found = Listed([], 0, None, complete=False)
    statement = page_query(meant.state, "rows")
    # With a bound on the age, pages are large: all jobs of a small one may be of one
    # transaction that began long before, though others have enqueued since.
    aged = meant.enqueued.since is not None
    size = PAGE if aged else max(limit, 100)
    now = _now(session, meant)
    parameters = {**meant.parameters(now), "before": _begin(session, meant, now, before)}
    while True:
        asked = monotonic()
        wanted = {"page": size, "limit": limit - len(found.jobs)}
        rows = session.fetch(statement, {**parameters, **wanted})
        last_id, seen, oldest, goes_on = rows[0][:4]
        jobs = [*found.jobs, *(JobRow(*row[4:]) for row in rows if row[4] is not None)]
        ends = not goes_on or seen < size or len(jobs) >= limit
        found = Listed(jobs, found.seen + seen, oldest or found.oldest, ends, last_id)
        parameters["before"] = last_id
        # For a rare match, a few statements read very many jobs.
        size = PAGE if aged else min(10 * size, _PAGE_MAX, left - found.seen)
        if within_s is not None and found.seen >= PAGE:
            size = min(size, _affordable(seen, asked, until))
        if ends or size <= 0:
            return found


def _begin(session: Session, meant: Filter, now: datetime, before: int) -> int:
    """Return the id below which a search begins: the end of its period, or `before`."""
    latest = meant.enqueued_before(now)
    return before if latest is None else min(before, first_id_after(session, latest))


def _affordable(seen: int, asked: float, until: float) -> int:
    """Return the number of jobs that can be read in the remaining time, at the last rate."""
    now = monotonic()
    most = int(seen * (until - now) / max(now - asked, 0.001))
    return most if most >= _PAGE_MIN else 0


def ids(session: Session, meant: Filter, limit: int | None = None) -> array[int]:
    """Return the ids of all matching jobs, or of the newest ones; the oldest first.

    Each takes eight bytes, so that all fit in memory and can be changed in small transactions.

    Raises:
        Error: for an invalid limit.
    """
    if limit is not None:
        check_count("limit", limit)
    found = array("q")
    for page in id_pages(session, meant):
        found.extend(page)
        if limit is not None and len(found) >= limit:
            del found[limit:]
            break
    found.reverse()
    return found


def page_query(state: str | None, end: str) -> Statement:
    """Return the statement that reads the jobs of one state, or all: `rows` or `ids`."""
    jobs = STATEMENTS["jobs"]
    if state == "lost":
        jobs = STATEMENTS["lost"]
    elif state is not None and state not in _ENDED:
        place = f"all_{state}" if state in {"ready", "blocked"} else state
        jobs = STATEMENTS["places"]
        text = jobs.text.replace("jobsd.all_ready_executions", f"jobsd.{place}_executions")
        jobs = Statement(f"{jobs.name} {state}", text)
    return jobs.with_(STATEMENTS["search"]).with_(STATEMENTS[end])


def _now(session: Session, meant: Filter) -> datetime:
    """Return the time from which ages are counted: the database's."""
    return session.fetch(STATEMENTS["now"])[0][0] if meant.has_age else utc_now()


def _like(pattern: str) -> str:
    """Return a pattern with * and ? in the syntax of LIKE."""
    literal = re.sub(r"([\\%_])", r"\\\1", pattern)
    return literal.replace("*", "%").replace("?", "_")


def id_pages(session: Session, meant: Filter, *, before: int = BEYOND) -> Iterator[list[int]]:
    """Yield the ids of all matching jobs below `before`, by pages, the newest first."""
    statement = page_query(meant.state, "ids")
    # No bound by time: an act reaches also jobs whose transactions took longer than any margin.
    parameters = {**meant.parameters(_now(session, meant)), "page": PAGE, "limit": PAGE}
    goes_on = True
    while goes_on:
        row = session.fetch(statement, {**parameters, "before": before})[0]
        last_id, size, _, goes_on, page = row
        yield page
        goes_on = goes_on and size == PAGE
        before = last_id
