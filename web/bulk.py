"""Acts on many jobs: a page with their number, a POST, and a page with the progress.

They run in the background, in a thread with a connection of its own, so that no request lasts.
The audit row has the progress; the row of an interrupted act has no end.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from jobsd.acts import listing, moves
from jobsd.database.connection import Session, Target
from jobsd.errors import Error, NotFoundError, RefusedError
from jobsd.events.events import emit
from jobsd.operations import audit, bulk
from jobsd.operations.bulk import BulkAct, How
from jobsd.operations.search import read_search
from jobsd.operations.words import capped, counted

from .http import RefusedRequest
from .routes import Asked, Found, route

RUNNING_MAX = 4
"""The maximum of acts that run at once in one process."""
_free = threading.BoundedSemaphore(RUNNING_MAX)
CHOSEN = ("retry", "run", "discard")
"""The acts on jobs that are chosen one by one."""
SENTENCES = {
    "retry": "They become ready again, with all their attempts.",
    "discard": "They are dropped, and will never run.",
    "run": "They become due now, and a dispatcher makes them ready at once.",
    "move": "They get another queue or another priority.",
}


@route("/bulk", "bulk")
def show_count(asked: Asked) -> Found:
    """Read the number of jobs that an act would change."""
    query = asked.request.query
    act, meant = _asked(query, asked.shown.names)
    found = bulk.count(asked.session, act, meant)
    facts = {
        "act": act.name,
        "filter": query.get("q", ""),
        "jobs": min(found.jobs, bulk.COUNTED_MAX),
        "exact": found.exact,
        "upto": found.upto,
    }
    more = {
        "shown": ("" if found.exact else "at least ")
        + counted(min(found.jobs, bulk.COUNTED_MAX), "job"),
        "sentence": SENTENCES[act.name],
        "role": act.role,
    }
    return Found(facts, more)


@route("/bulk/<row>", "progress")
def show_progress(asked: Asked) -> Found:
    """Read the progress of an act."""
    given = asked.names["row"]
    row = (
        audit.find(asked.session, int(given))
        if given.isascii() and given.isdigit() and len(given) < 19
        else None
    )
    if row is None:
        raise NotFoundError("there is no such act")
    most = bulk.COUNTED_MAX
    wanted = None if row["wanted"] is None else capped(row["wanted"], most)
    return Found(row, {"wanted": wanted, "live": None if row["ended_at"] else "acts"})


@dataclass(frozen=True, slots=True)
class Begun:
    """An act that has begun, and its audit row."""

    id: int
    sentence: str


def begin(  # noqa: PLR0913 - actor, act and jobs
    session: Session,
    target: Callable[[], Target],
    form: Mapping[str, str],
    *,
    actor: str,
    hidden: frozenset[str],
    keep: bool,
) -> Begun:
    """Begin an act on many jobs in the background."""
    act, meant = _asked(form, hidden)
    upto, how = _number(form, "upto"), _how(form, keep=keep)
    if act.name == "move":
        moves.check(how.queue, how.priority)
    wanted = bulk.count(session, act, meant)
    if not _free.acquire(blocking=False):
        status = HTTPStatus.SERVICE_UNAVAILABLE
        sentence = f"{RUNNING_MAX} acts on many jobs run already: try again in a moment."
        raise RefusedRequest(status, sentence, ("Retry-After", "5"))
    try:
        text = form.get("q", "").strip() or "all"
        on = f"jobs with {text}, up to {upto}{_to(how)}"
        written = audit.begin(session, act.name, on, actor=actor, wanted=wanted.jobs)
        args = (target, act, meant, upto, how, written)
        threading.Thread(target=_perform, args=args, name="bulk", daemon=True).start()
    except BaseException:
        _free.release()
        raise
    return Begun(written.id, "It has begun; this page shows its progress.")


def _perform(  # noqa: PLR0913, PLR0917 - as `begin`
    target: Callable[[], Target],
    act: BulkAct,
    meant: listing.Filter,
    upto: int,
    how: How,
    written: audit.Act,
) -> None:
    """Perform an act, in a thread; an error leaves its row without an end."""
    try:
        with contextlib.closing(Session(target(), "jobsd web bulk")) as session:
            written.session = session
            bulk.perform(session, act, meant, upto, how, written)
            written.end()
    except Exception as error:  # noqa: BLE001 - a thread has no caller
        emit("web.failed", path=f"/bulk/{written.id}", error=error)
    finally:
        _free.release()


def _asked(fields: Mapping[str, str], hidden: frozenset[str]) -> tuple[BulkAct, listing.Filter]:
    act = bulk.ACTS.get(fields.get("act", ""))
    if act is None:
        raise NotFoundError(f"there is no such act; the acts are {', '.join(bulk.ACTS)}")
    search = read_search(fields.get("q", ""), hidden)
    if search.problems:
        # Refuse an invalid filter; ignoring it would select too many jobs.
        raise RefusedError(f"nothing is done: {search.problems[0]}")
    return act, search.meant


def _how(form: Mapping[str, str], *, keep: bool) -> How:
    priority = form.get("priority", "").strip()
    queue = form.get("queue", "").strip() or None
    return bulk.How(keep, queue, whole(priority) if priority else None)


def whole(text: str) -> int:
    """Return the number in a field.

    Raises:
        Error: when the field holds no number.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise Error(f"{text!r:.40} is not a whole number")
    return int(text)


def _number(form: Mapping[str, Any], name: str) -> int:
    given = str(form.get(name, ""))
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise RefusedError("nothing was done: get the number of jobs first (`upto`)")
    return int(given)


def _to(how: How) -> str:
    parts = [
        *([f"queue {how.queue}"] if how.queue else []),
        *([f"priority {how.priority}"] if how.priority is not None else []),
    ]
    return f", to {', '.join(parts)}" if parts else ""
