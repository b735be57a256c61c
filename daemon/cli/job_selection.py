"""Selects the jobs of a command, and reports jobs that it could not change.

`list` takes filters. Commands that change jobs take ids, or `--all` with the same filters; then
they ask for consent, and report each job left unchanged with the reason.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from jobsd import acts, clock, errors, job_states
from jobsd.acts.periods import ALWAYS, Period
from jobsd.daemon.program import error, note
from jobsd.daemon.statuses import DONE, NOT_FOUND, REFUSED
from jobsd.daemon.values import counted
from jobsd.operations.times import period_text

from .help import FILTERS, Shared
from .output import Result, Value
from .parameters import CLASS, JOB_ID, LINE, PERIOD, QUEUE, offered, whole
from .verbs import require_consent

if TYPE_CHECKING:
    from jobsd.acts import inspect
    from jobsd.database.connection import Session

R = TypeVar("R")

_REPORT_EVERY_S = 1.0
_DRY_IDS = 100
"""Ids that a dry run prints as JSON."""


class Filters(NamedTuple):
    """The values of the options; None for omitted ones."""

    state: str | None = None
    queue: str | None = None
    class_name: str | None = None
    error: str | None = None
    since: Period = ALWAYS
    finished_since: Period = ALWAYS
    failed_since: Period = ALWAYS
    limit: int | None = None
    error_type: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names."""
        return {
            name: value
            for name, value in self._asdict().items()
            if value not in {None, (), ALWAYS}
        }

    def selected(self) -> acts.listing.Filter:
        """Return the filter of jobs; one by error or time of failure selects failed ones."""
        failed = self.error or self.failed_since != ALWAYS
        return acts.listing.Filter(
            "failed" if failed and not self.state else self.state,
            self.queue,
            self.class_name,
            self.since,
            self.error,
            self.error_type,
            finished=self.finished_since,
            failed=self.failed_since,
            tags=self.tags,
        )

    def text(self) -> str:
        """Return the filters in the form of the audit: all jobs, if there are none."""
        plain = {name: value for name, value in self.given.items() if name != "tags"}
        given = [
            f"{name}={period_text(value) if isinstance(value, Period) else value}"
            for name, value in plain.items()
        ]
        given += [f"tag={tag}" for tag in self.tags]
        return f"jobs with {', '.join(given)}" if given else "all jobs"


class Selected(NamedTuple):
    """Jobs by their ids, or all that pass the filters, and whether to ask before."""

    ids: tuple[int, ...]
    everything: bool
    filters: Filters
    yes: bool
    dry_run: bool

    def check(self) -> None:
        """Refuse ids together with all, filters without all, and an empty selection.

        Raises:
            click.UsageError: naming the missing or superfluous option.
        """
        fault = None
        if self.everything and self.ids:
            fault = "give ids or --all, not both"
        elif not self.everything and not self.ids:
            fault = "give the ids of jobs, or --all"
        elif "," in (self.filters.state or ""):
            fault = "only list takes several states; give one state"
        elif not self.everything and self.filters.given:
            fault = "filters need --all; they can't be combined with ids"
        if fault is not None:
            raise click.UsageError(fault, click.get_current_context())


def filtered(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a filter, as `filters`."""

    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401 - click's
        **given: Any,  # noqa: ANN401 - click's
    ) -> R:
        filters = Filters(
            **{
                name: value
                for name in Filters._fields
                if (value := given.pop(name, None)) is not None
            }
        )
        return function(*args, filters=filters, **given)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


class _States(click.Choice):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.2
    """One state, or several with commas between them."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Return the states, each once."""
        one: Callable[..., Any] = super().convert
        return ",".join(dict.fromkeys(one(each, param, ctx) for each in value.split(",")))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the states that the last one may become, behind those before it."""
        before, comma, begun = incomplete.rpartition(",")
        found = super().shell_complete(ctx, param, begun)
        return [CompletionItem(f"{before}{comma}{each.value}") for each in found]


def _once(context: click.Context, option: click.Parameter, given: tuple[R, ...]) -> R | None:
    """Refuse a filter that is given twice: the last one alone would select more jobs."""
    if len(given) > 1:
        raise click.BadParameter("it is given twice; only --tag can be", context, option)
    return given[0] if given else None


_shared = functools.partial(click.option, multiple=True, cls=Shared, section=FILTERS)
_filter = functools.partial(_shared, callback=_once)
_OPTIONS = (
    _filter(
        "--state",
        type=_States(job_states.STATES, case_sensitive=False),
        metavar="STATE",
        help=f"Only jobs in this state: {', '.join(job_states.STATES)}; list takes several.",
    ),
    _filter("--queue", type=QUEUE, metavar="NAME", help="Only jobs of this queue."),
    _filter(
        "--class",
        "class_name",
        type=CLASS,
        metavar="NAME",
        help="Only jobs of this class; * and ? stand for any characters: 'app.billing.*'.",
    ),
    _filter(
        "--error",
        type=LINE,
        metavar="TEXT",
        help="Only failed jobs whose error (`Type: message`) contains this; * and ? as above.",
    ),
    _shared(
        *("--tag", "tags"),
        shell_complete=offered("tag"),
        type=LINE,
        metavar="TAG",
        help="Only jobs with this tag; given twice, only jobs with both.",
    ),
    _filter(
        "--since",
        type=PERIOD,
        help="Only jobs enqueued since then: 1h (ago), 03:00, 2026-01-31T12:00; or A..B.",
    ),
    _filter(
        "--finished-since",
        type=PERIOD,
        help="Only jobs that finished or were discarded since then, or within A..B.",
    ),
    _filter(
        "--failed-since",
        type=PERIOD,
        help="Only failed jobs that failed since then, or within A..B.",
    ),
    _filter(
        *("-n", "--limit"),
        type=whole(1),
        help="At most this many jobs, the newest first.",
    ),
)


def selecting(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command ids, or `--all` with the options of a filter, as `selected`."""

    @click.argument("ids", metavar="[ID]...", type=JOB_ID, nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All jobs that pass the filters.")
    @filtered
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    @click.option("--dry-run", is_flag=True, help="Change nothing; print how many jobs pass.")
    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401 - click's
        ids: tuple[int, ...],
        **given: Any,  # noqa: ANN401 - click's
    ) -> R:
        names = ("everything", "filters", "yes", "dry_run")
        selected = Selected(tuple(dict.fromkeys(ids)), *(given.pop(each) for each in names))
        selected.check()
        return function(*args, selected=selected, **given)

    return run


def named_ids(ids: Sequence[int]) -> str:
    """Return jobs in the form of the audit."""
    return f"{'job' if len(ids) == 1 else 'jobs'} {', '.join(map(str, ids))}"


def consent(verb: str, count: int, state: str | None, *, yes: bool, but: str = "") -> None:
    """Ask for consent to change this number of jobs; `but` is a caution.

    Raises:
        RefusedError: without `--yes`, if no terminal is there or the answer is no.
    """
    if count:
        require_consent(f"{verb} {_jobs(count, state)}{but}", yes=yes)


def dry_run(verb: str, ids: Sequence[int], state: str | None) -> Result:
    """Return the result of a dry run, which changes no jobs."""
    found = {"dry_run": True, "jobs": len(ids), "ids": list(ids[:_DRY_IDS])}
    return Result(found, (Value(len(ids), f"would {verb} {_jobs(len(ids), state)}"),))


def _jobs(count: int, state: str | None) -> str:
    return counted(count, "job" if state is None else f"{state} job")


def chosen_ids(
    session: Session,
    filters: acts.listing.Filter,
    limit: int | None,
    ids: Callable[[Session, acts.listing.Filter, int | None], Sequence[int]],
) -> Sequence[int]:
    """Return the jobs that pass the filters, as `ids` reads them, the oldest first."""
    if filters.state == "lost":
        return lost_ids(session, filters, limit)
    return ids(session, filters, limit)


def lost_ids(
    session: Session, filters: acts.listing.Filter, limit: int | None = None
) -> list[int]:
    """Search the lost jobs that pass the filters, the oldest first: all jobs are read."""
    progress, found = Progress("jobs searched"), list[int]()
    for page in acts.listing.id_pages(session, filters):
        found += page
        progress.add(acts.listing.PAGE)
        if limit is not None and len(found) >= limit:
            break
    return found[:limit][::-1]


class Progress:
    """Reports on a terminal, once a second, the number of changed jobs."""

    def __init__(self, verb: str, wanted: int | None = None) -> None:
        self.count = 0
        self._verb = verb
        self._wanted = wanted
        self._report_at = clock.monotonic() + _REPORT_EVERY_S

    def add(self, count: int) -> None:
        """Add the number of jobs that one transaction has changed."""
        self.count += count
        if clock.monotonic() >= self._report_at and sys.stderr.isatty():
            self._report_at = clock.monotonic() + _REPORT_EVERY_S
            of = "" if self._wanted is None else f" of {self._wanted:,}"
            note(f"{self.count:,}{of} {self._verb}")

    @property
    def skipped(self) -> int:
        """The number of jobs that had moved on before they were reached."""
        return (self._wanted or self.count) - self.count


@dataclass(frozen=True, slots=True)
class Left:
    """The jobs that were not changed, and why."""

    refused: dict[int, str]
    missing: list[int]

    @property
    def status(self) -> int:
        """The exit status."""
        return NOT_FOUND if self.missing else REFUSED if self.refused else DONE

    def facts(self) -> dict[str, Any]:
        """Return the facts for programs."""
        refused = [{"id": job_id, "reason": why} for job_id, why in self.refused.items()]
        return {"refused": refused, "not_found": self.missing}


def explain(
    session: Session, ids: Iterable[int], refusal: Callable[[inspect.Found], str]
) -> Left:
    """Report for each job why it was not changed."""
    from jobsd.acts import inspect

    left = Left({}, [])
    for job_id in ids:
        try:
            left.refused[job_id] = refusal(inspect.find(session, job_id))
            error(left.refused[job_id])
        except errors.NotFoundError as fault:
            left.missing.append(job_id)
            error(str(fault))
    return left


def named(verb: str, count: int, facts: dict[str, Any], left: Left) -> Result:
    """Return the result for jobs that were selected by ids."""
    parts = (Value(count, f"{counted(count, 'job')} {verb}"),) if count else ()
    return Result({**facts, **left.facts()}, parts, status=left.status)


def all_of(progress: Progress, facts: dict[str, Any], verb: str) -> Result:
    """Return the result for jobs that were selected by filters."""
    if progress.skipped:
        moved = counted(progress.skipped, "job")
        note(f"skipped {moved} that had changed state, or were just being claimed")
    value = Value(progress.count, f"{counted(progress.count, 'job')} {verb}")
    return Result({**facts, "skipped": progress.skipped}, (value,))
