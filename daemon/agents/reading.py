"""The tools that read. Each returns one JSON document.

Arguments are hidden as on the dashboard. What a job or its caller wrote (arguments, errors,
results) may contain a sentence that reads like an instruction to the agent. So it stands in an
object with the only name `written_by_job`, and the instructions of the server say that this is
data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from jobsd import clock, database, errors, operations
from jobsd.acts import listing
from jobsd.daemon.values import json_text
from jobsd.operations.overview import overview
from jobsd.operations.shown_arguments import ShownArguments, published_names
from jobsd.schedules import explain

if TYPE_CHECKING:
    from jobsd.acts.listing import Filter
    from jobsd.daemon.cli.project import Project
    from jobsd.database.connection import Session

MARK = "written_by_job"
WRITTEN = frozenset(
    "arguments error errors message messages result progress tags concurrency_key".split()
)
"""The fields that a job, or the program that enqueued it, has written."""
LIMIT_MAX = 100
_QUEUED_MAX = 10_000
_SEARCH_S = 1.0


@contextlib.contextmanager
def opened(project: Project) -> Generator[Session]:
    """Connect for one call of a tool.

    Raises:
        DatabaseUnreachableError: when the database can't be reached.
        SchemaError: if the tables are not as needed.
    """
    target = project.target()
    with contextlib.closing(database.connection.connect(target, "jobsd mcp")) as session:
        database.migrate.require(session)
        yield session


def selected(project: Project, search: str) -> Filter:
    """Return the filter of a search, written as on the dashboard.

    Raises:
        Error: if a part of it can't be searched: without that part it would select too much.
    """
    found = operations.search.read_search(search, project.options.jobs.filter_arguments)
    if found.problems:
        raise errors.Error("; ".join(found.problems))
    return found.meant


def marked(document: object) -> object:
    """Return a document in which all that jobs wrote is marked as such."""
    if isinstance(document, dict):
        fields = cast("dict[str, object]", document).items()
        return {
            name: {MARK: value} if name in WRITTEN and value else marked(value)
            for name, value in fields
        }
    if isinstance(document, list):
        return [marked(each) for each in cast("list[object]", document)]
    return document


def answer(document: object) -> str:
    """Return the answer of a tool."""
    return json_text(marked(document))


class Reading:
    """The tools, for one project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def status(self) -> str:
        """Tell what runs, what waits, what is due next, what failed, and what is unhealthy."""
        options = self._project.options
        threshold_s = options.supervisor.process_alive_threshold_s
        targets_s = options.monitor.latency_targets_s
        with opened(self._project) as session:
            seen = overview(session, threshold_s, _QUEUED_MAX, targets_s=targets_s)
            seen.recurring[:] = map(self._shown(session).task, seen.recurring)
        return answer(seen.document())

    def list_jobs(self, search: str = "", limit: int = 20) -> str:
        """List jobs, the newest first (at most 100).

        `search` is written as on the dashboard: class:, queue:, state: (scheduled, ready,
        blocked, claimed, failed, finished, discarded), error:, key:, host:, tag:, after:,
        before:, finished:, failed:, ran:, waited:, args.NAME:, each with a value behind it, and
        words. A time is an age (1h), a time of day (03:00), an instant, or a range A..B.
        `complete` is false if only the newest jobs were searched.
        """
        meant, most = selected(self._project, search), min(max(limit, 1), LIMIT_MAX)
        with opened(self._project) as session:
            found = listing.listed(session, meant, most, within_s=_SEARCH_S)
            rows = operations.jobs.rows(found.jobs, self._shown(session))
        return answer({"jobs": rows, "searched": found.seen, "complete": found.complete})

    def show(self, job_id: int) -> str:
        """Show one job: where it is, its failed attempts, and why it is not running."""
        threshold_s = self._project.options.supervisor.process_alive_threshold_s
        with opened(self._project) as session:
            seen = operations.jobs.examine(session, job_id, threshold_s)
            return answer(seen.document(seen.facts(self._shown(session))))

    def failures(self) -> str:
        """List the failed jobs, grouped by class and error."""
        with opened(self._project) as session:
            return answer(operations.failures.groups(session))

    def doctor(self) -> str:
        """Examine configuration, database, processes, queues and tasks: OK, WARN or FAIL."""
        from jobsd.daemon.cli import doctor

        findings: list[dict[str, Any]] = []
        for found in doctor.examine(self._project):
            # These sentences are of jobsd.
            findings.append({**found.facts(), "sentence": found.message})
            del findings[-1]["message"]
        return answer(findings)

    def explain(self, phrase: str, time_zone: str | None = None, n: int = 5) -> str:
        """Explain a schedule, such as "every weekday at 9am": its cron and its next runs."""
        zone = time_zone or self._project.options.time_zone
        return answer(explain(phrase, zone, min(max(n, 1), LIMIT_MAX), clock.utc_now()))

    def _shown(self, session: Session) -> ShownArguments:
        hidden = self._project.options.jobs.filter_arguments
        return ShownArguments(hidden, published_names(session))
