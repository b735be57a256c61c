"""`list`: jobs, the newest first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from jobsd import acts, job_states, operations
from jobsd.daemon.cli import completion
from jobsd.daemon.cli.help import FILTERS
from jobsd.daemon.cli.job_selection import Filters, Progress, filtered
from jobsd.daemon.cli.output import Column, Result, Table, colored
from jobsd.daemon.cli.verbs import Project, Verb, chosen_format, on_project
from jobsd.daemon.cli.watch import watch_option, watching
from jobsd.daemon.program import note
from jobsd.daemon.values import brief_moment, number, plain, when

if TYPE_CHECKING:
    from jobsd.acts.inspect import JobRow
    from jobsd.acts.listing import Filter, Listed
    from jobsd.database.connection import Session


_WITH_SPACES = re.compile(r'([a-z]+(?:\.[^\s:"]+)?:)?([^"]*\s[^"]*)')


class _Search(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.5
    """A part of a search; a shell offers the names, and for some of them existing values."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the parts with this beginning."""
        del ctx, param
        key, colon, begun = incomplete.partition(":")
        if not colon:
            names = (f"{each}:".replace("NAME:", "") for each in operations.search.NAMES)
            found = [each for each in names if each.startswith(incomplete)]
        elif key == "state":
            found = [f"state:{each}" for each in job_states.STATES if each.startswith(begun)]
        elif key in {"class", "queue", "tag", "host"}:
            found = [f"{key}:{each.value}" for each in completion.names(key, begun)]
        else:
            found = []
        return [CompletionItem(each) for each in found]


SEARCH = _Search()


def search_text(parts: Sequence[str]) -> str:
    """Return one search from words split by a shell; a quoted phrase stays one word."""
    return parts[0] if len(parts) == 1 else " ".join(map(_quoted, parts))


def _quoted(part: str) -> str:
    found = _WITH_SPACES.fullmatch(part)
    return f'{found[1] or ""}"{found[2]}"' if found else part


def _text(value: object) -> str:
    return plain(value) or "-"


_COLUMNS = (
    Column("id", show=number, right=True),
    Column("class_name", "CLASS", rank=1, show=_text, cuts=True, least=20),
    Column("queue_name", "QUEUE", show=_text),
    Column("state", style=colored),
    Column("attempts", "TRIES", rank=6, right=True),
    Column("created_at", "ENQUEUED", rank=3, brief=brief_moment),
    Column("arguments", on="pipe"),
    Column("call", rank=7, show=_text, cuts=True, on="terminal"),
)
_SCHEDULED_AT = Column("scheduled_at", "SCHEDULED FOR", rank=2, brief=brief_moment)
_FINISHED_AT = Column("finished_at", "FINISHED", rank=2, brief=brief_moment)
_OF_STATES = {
    "scheduled": (_SCHEDULED_AT,),
    "claimed": (
        Column("claimed_at", "CLAIMED", rank=5, brief=brief_moment),
        Column("claimed_by", "CLAIMED BY", rank=2, show=_text, cuts=True),
        Column("started_at", "STARTED", rank=4, brief=brief_moment),
    ),
    "failed": (Column("error", rank=2, show=_text, cuts=True),),
    "finished": (_FINISHED_AT,),
    "discarded": (_FINISHED_AT,),
}
"""Additional columns for the jobs of one state."""
_LIMIT = 20
_LIMIT_MAX = 10_000
_SEARCH_S = 0.1
"""The time limit of a search without an age: a filter that no job passes would read all."""

_EXAMPLES = """
list
list --state failed --class 'app.mail.*' --error SMTP
list class:app.mail.* state:failed args.user_id:5 timeout
list --state failed,blocked --limit 100
list --queue mail --since 1h --limit 100 --json
list --finished-since 03:00..03:05
list --columns id,state,finished_at --state finished -o tsv
"""


@click.command(
    "list", cls=Verb, table=_COLUMNS, ids=True, describes=FILTERS, examples=_EXAMPLES
)
@click.argument("search", nargs=-1, metavar="[SEARCH]...", type=SEARCH)
@filtered
@watch_option
@on_project
def command(
    project: Project, *, search: tuple[str, ...], filters: Filters, every_s: float | None
) -> Result:
    """List jobs, the newest first: 20 of them, or as many as --limit (up to 10,000).

    SEARCH is written as on the dashboard: class:, queue:, state:, error:, key:, host:, tag:,
    after:, before:, started:, finished:, failed:, ran:, waited: and args.NAME:, each with a
    value behind it, and words that class, queue or error must contain. A job must have each tag
    that is given; any other filter can be given once. An option takes precedence.

    A time is an age (1h), a time of day (03:00, the last one past; yesterday 03:00), an instant
    (2026-01-31T12:00), or a range of both (03:00..03:05); in UTC unless it has a zone.
    A length is >10s, <1m or 10s..1m; without a period it is sought among the jobs enqueued in
    the last 24 hours.

    Without --since the newest 100,000 jobs are searched, or as many as can be read in 0.1 s.
    With --state lost all jobs are.

    --state adds columns: when jobs are due, when and by which process they were claimed, when
    they ended, or their error. `--columns` takes any field of --json.
    """
    limit = _LIMIT if filters.limit is None else filters.limit
    if limit > _LIMIT_MAX:
        fault = f"{limit} is more than {_LIMIT_MAX}; --since and other filters narrow the list"
        raise click.BadParameter(fault, param_hint="'--limit'")
    states = [None] if filters.state is None else filters.state.split(",")
    selected = [_selected(project, search, filters._replace(state=each)) for each in states]
    return watching(project, every_s, partial(_found, project, selected, limit))


def _found(
    project: Project, selected: Sequence[Filter], limit: int, session: Session
) -> Result:
    searched = [_searched(session, each, limit, _SEARCH_S / len(selected)) for each in selected]
    found = _merged(searched, limit)
    rows = operations.jobs.rows(found.jobs, project.shown_arguments)
    _note_how_far(found, selected[0])
    if chosen_format().as_json:
        return Result(rows)
    of_states = [column for each in selected for column in _OF_STATES.get(each.state or "", ())]
    table = Table(
        [_for_people(row) for row in rows],
        tuple({column.name: column for column in (*_COLUMNS, *of_states)}.values()),
        more=f"the newest {limit:,}; use -n for more" if len(rows) == limit else "",
    )
    return Result(rows, (table,), "" if rows else _none(selected[0], found))


def _searched(session: Session, selected: Filter, limit: int, within_s: float) -> Listed:
    if selected.state == "lost":
        return _lost(session, selected, limit)
    # With an age, its whole period is searched.
    bound = within_s if selected.enqueued.since is None else None
    return acts.listing.listed(session, selected, limit, within_s=bound)


def _merged(searched: Sequence[Listed], limit: int) -> Listed:
    """Return the newest jobs of several searches; one that changed its state is there once."""
    if len(searched) == 1:
        return searched[0]
    jobs = {job.id: job for found in searched for job in found.jobs}
    newest = sorted(jobs.values(), key=attrgetter("id"), reverse=True)[:limit]
    # Below the oldest job of the shortest search, jobs of its state may be missing.
    oldest = max(
        (each.oldest for each in searched if each.oldest and not each.complete), default=None
    )
    complete = all(each.complete for each in searched)
    return acts.listing.Listed(newest, sum(each.seen for each in searched), oldest, complete)


def _lost(session: Session, selected: Filter, limit: int) -> Listed:
    """Return the newest lost jobs: all jobs are searched for them."""
    progress, before = Progress("jobs searched"), acts.listing.BEYOND
    jobs: list[JobRow] = []
    while True:
        found = acts.listing.listed(
            session, selected, limit - len(jobs), before=before, seen_max=acts.listing.PAGE
        )
        jobs += found.jobs
        progress.add(found.seen)
        if found.complete or found.last_id is None:
            return found._replace(jobs=jobs, complete=True)
        before = found.last_id


def _selected(project: Project, search: tuple[str, ...], filters: Filters) -> Filter:
    selected = filters.selected()
    if not search:
        return selected
    found = operations.search.read_search(
        search_text(search), project.options.jobs.filter_arguments
    )
    if found.problems:
        # Refuse an invalid search; ignoring it would list too many jobs.
        raise click.BadParameter("; ".join(found.problems), param_hint="SEARCH")
    tags = (*found.meant.tags, *selected.tags)
    return replace(found.meant, **{**selected.given(), "tags": tags})


def _none(selected: Filter, found: Listed) -> str:
    if not found.complete:
        return "none of the searched jobs passes these filters"
    if selected.given():
        return "no job passes these filters"
    return "there are no jobs yet; `enqueue NAME` enqueues one"


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    error = row["error"]
    return {
        **row,
        "call": operations.shown_arguments.call_text(row["class_name"], row["arguments"]),
        "error": error and f"{error.get('type')}: {error.get('message')}",
        "claimed_by": _claimed_by(row),
    }


def _claimed_by(row: dict[str, Any]) -> str | None:
    if row["process_id"] is None:
        return None
    if row["process"] is None:
        return f"process {row['process_id']}, which no longer exists"
    return f"pid {row['pid']} on {row['hostname']}, {row['process']}"


def _note_how_far(found: Listed, selected: Filter) -> None:
    """Print a note if older jobs may be selected too."""
    if not found.complete:
        oldest = "" if found.oldest is None else f", enqueued {when(found.oldest)} and later"
        which = "{:,} jobs of the period" if selected.has_end else "the newest {:,} jobs"
        note(
            f"searched {which.format(found.seen)}{oldest};"
            " use --since 30d to search all jobs of 30 days"
        )
