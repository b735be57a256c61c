"""One turn of a worker: one round trip and one commit.

Successes are recorded, and the next batch is claimed, by one fused statement. Two more are in
the same pipeline when they have something to do: before it one for all other outcomes, and
after it one that hands over slots of limits that were freed. Limited jobs are claimed by a
statement of their own, mostly after the turn's commit (see `limited`).

A turn waits half a second for a locked row (a `SELECT … FOR UPDATE` on a running job locks
one). If it gets no lock, it has done nothing. Then a query finds which of its jobs have a
locked row: these stay claimed and unrecorded, and all other jobs continue. At growing
intervals, a query that does not wait finds which of the rows are free again. If no row is
locked, the lock is of another kind: the next turn waits for it as long as any statement does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter, itemgetter
from typing import Any

from psycopg.errors import LockNotAvailable

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Bound, Row, Session, Statement
from jobsd.database.portions import is_late
from jobsd.database.session_settings import LOCK_SHARE
from jobsd.jobs import registry
from jobsd.jobs.claimed_job import ClaimedJob, claimed_job
from jobsd.jobs.limits import unblocked
from jobsd.performing.runner import Runner
from jobsd.scoreboard.entry import ScoreboardEntry
from jobsd.states import claims, ready
from jobsd.states.claims import Ended, InClaim

from .constants import BYTES_MAX, CHECK_S, CLAIMED_MAX, FEW, LOCKED_MAX, PATIENCE_S
from .ledger import Ledger
from .recording import Recording

_NO_CLAIM = claims.STATEMENTS["no_claim"]
_TURNS: dict[tuple[str | None, str], Statement] = {}
_OF_FEW = {each.name for each in ready.OF_FEW}
_NO_HEAD = (None, 0, None)
_ID, _PRIORITY = map(ClaimedJob._fields.index, ("id", "priority"))
_by_place = itemgetter(_PRIORITY, _PRIORITY + 1)
_class_name = itemgetter(ClaimedJob._fields.index("class_name"))


@dataclass(slots=True)
class TurnResult:
    """The result of a turn: a claim with its jobs, in order.

    `unknown` are jobs of classes that are unknown here. `withheld` are the first job with
    arguments that did not fit into the answer, and all jobs after it; `weight` is the size of
    the arguments that did. `recorded` are the claims with written successes, and `concluded`
    those with written other outcomes. `cancelled` are jobs that were discarded instead, since
    they were cancelled. `whole` is false if the
    claim has ids of jobs that were deleted although their rows in `ready_executions` were not.
    """

    claim_id: int | None = None
    whole: bool = True
    jobs: list[ClaimedJob] = field(default_factory=list[ClaimedJob])
    withheld: list[ClaimedJob] = field(default_factory=list[ClaimedJob])
    unknown: list[ClaimedJob] = field(default_factory=list[ClaimedJob])
    weight: int = 0
    recorded: set[int] = field(default_factory=set[int])
    concluded: set[int] = field(default_factory=set[int])
    cancelled: set[InClaim] = field(default_factory=set[InClaim])
    took_s: float = 0.0

    @property
    def claimed(self) -> list[ClaimedJob]:
        """All jobs of the claim."""
        return [*self.jobs, *self.withheld, *self.unknown]

    def positions(self, *, named: bool) -> list[tuple[str | None, int, int]]:
        """Return queue (if they were picked by names), priority and position of the jobs.

        Of each queue and priority the last one is the farthest.
        """
        jobs = self.jobs
        if self.unknown:
            jobs = sorted([*jobs, *self.unknown], key=attrgetter("position"))
        return [(job.queue_name if named else None, job.priority, job.position) for job in jobs]

    @property
    def size(self) -> int:
        """How many jobs were claimed."""
        return len(self.jobs) + len(self.withheld) + len(self.unknown)


@dataclass(slots=True)
class ClaimRequest:
    """What to claim: how many jobs, when, for which process, by which statement, from where.

    `limit` is the room for jobs; a statement for few takes `FEW` of them at most. With
    `sweep`, the search begins at the head of the index. With `lanes`, it takes jobs of these.
    """

    limit: int
    asked_at: float
    process_id: int
    statement: Statement
    parameters: dict[str, Any]
    sweep: bool = False
    lanes: Sequence[tuple[str, str]] = ()
    claim_id: int = field(default_factory=claims.draw_id)
    """The id of the claim that is made if there is any job."""
    limited_short: bool | None = None
    """Whether limited jobs were claimed before it, and no more wait; None: after it."""

    answer: Callable[[], list[Row]] | None = None
    """Waits for the rows, if the claim was sent before its turn."""

    @property
    def is_of_few(self) -> bool:
        """Whether it is made by a statement for few jobs, which records nothing."""
        return self.statement.name in _OF_FEW

    @property
    def most(self) -> int:
        """The most jobs it takes; a claim that takes as many may have left some."""
        return min(FEW, self.limit) if self.is_of_few else self.limit


class Turns:
    """Takes the turns of one worker, and leaves out jobs with locked rows."""

    def __init__(
        self, session: Session, ledger: Ledger, pool: Runner, entry: ScoreboardEntry
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._pool = pool
        self._entry = entry
        self._written_at = 0
        self._check_s = PATIENCE_S
        self._check_at = 0.0
        self._patient = False

    def take(
        self, recording: Recording, *, release: Iterable[Ended], request: ClaimRequest | None
    ) -> TurnResult | None:
        """Record these outcomes, and claim the requested jobs, in one turn.

        Returns None when it has done nothing: some rows are locked, and their jobs are left
        out from now on.

        Raises:
            psycopg.errors.LockNotAvailable: when it is no row of ours that is locked.
        """
        release = list(release)
        recording.lock_wait = claims.LOCK_WAIT
        if self._patient:
            wait_s = self._session.deadline_s * LOCK_SHARE
            recording.lock_wait = f"{wait_s * 1000:.0f}ms"
        try:
            result = _fetch(self._session, recording, release, request)
        except LockNotAvailable:
            if self._patient:
                raise
            locked = claims.locked(self._session, recording.jobs(release))
            self._patient = not locked
            self._ledger.mark_locked(locked)
            self._write_again()
            self._check_s, self._check_at = PATIENCE_S, monotonic() + PATIENCE_S
            return None
        except OUTAGES as error:
            if is_late(error):
                self._ledger.was_late(recording)
            raise
        self._patient = False
        self._ledger.was_answered(recording, result.took_s, self._session.deadline_s)
        return result

    def prepare(self, request: ClaimRequest) -> Bound:
        """Return the statement of a request before its turn, valid while we stay connected."""
        return self._session.bind(*_fused(None, request))

    def send(self, request: ClaimRequest, bound: Bound, asked_at: float) -> None:
        """Send a prepared claim; the next turn waits for its answer and records nothing."""
        request.asked_at = asked_at
        bound.put("asked_at", asked_at)
        request.answer = self._session.send_bound(bound)

    @property
    def check_at(self) -> float:
        """When to check locked rows again (monotonic); never when there are none."""
        return self._check_at if self._ledger.locked else inf

    def check_locked(self) -> bool:
        """Find out, when it is time, which rows are free again; return whether any is."""
        locked = self._ledger.locked
        if locked and self._entry.jobs_ended - self._written_at >= LOCKED_MAX:
            self._write_again()
        if not locked or monotonic() < self._check_at:
            return False
        free = locked - claims.locked(self._session, locked)
        self._check_s = min(CHECK_S, self._check_s * 2)
        self._check_at = monotonic() + self._check_s
        self._ledger.mark_free(free)
        return bool(free)

    @property
    def room(self) -> int:
        """How many more jobs may be claimed.

        The scoreboard entry must remember jobs with locked rows, and those that are recorded by
        a later statement.
        """
        if waiting := len(self._ledger.locked) + self._ledger.backlog:
            return 0 if self._ledger.is_full else LOCKED_MAX - self._pool.uncollected - waiting
        return CLAIMED_MAX - self._pool.uncollected

    def _write_again(self) -> None:
        """Write the outcomes into the scoreboard entry again, before it forgets them."""
        self._pool.write_ends_again(self._ledger.locked_runs)
        self._written_at = self._entry.jobs_ended


def _fetch(
    session: Session,
    recording: Recording,
    release: list[Ended],
    request: ClaimRequest | None,
) -> TurnResult:
    """Do one turn.

    Invariant: slots are handed over after they are freed, by a statement of its own, whose
    snapshot sees that, and the jobs that were blocked before.
    """
    if request is not None and not (recording or release):
        # Mostly so when a job waits for it.
        if request.answer is not None:
            return _claimed(request.answer(), request, monotonic() - request.asked_at)
        began = monotonic()
        rows = session.fetch_bound(session.bind(*_fused(None, request)))
        return _claimed(rows, request, monotonic() - began)
    record = recording.record
    fused = None if record is None and request is None else _fused(record, request)
    conclusion, handed = recording.conclude(release), recording.hand_over()
    parts = (recording.keep_results(), conclusion, fused, handed)
    statements = [part for part in parts if part is not None]
    began = monotonic()
    results = _run(session, statements, plain=fused is not None)
    took_s = monotonic() - began
    if handed is not None:
        unblocked(results.pop())
    result = _claimed(results.pop() if fused else [_NO_HEAD], request, took_s)
    if conclusion is not None:
        whole, stopped, *_ = results.pop()[0]
        result.concluded = set(whole)
        result.cancelled = {InClaim(*each) for each in stopped}
    return result


def _claimed(
    answer: list[tuple[Any, ...]], request: ClaimRequest | None, took_s: float
) -> TurnResult:
    """Return the result of the fused statement."""
    if request is not None and request.is_of_few:
        return _claimed_few(answer, request.claim_id, took_s)
    (claim_id, size, recorded, *more), *rows = answer
    places = more[0] if more else None
    jobs, withheld, unknown, weight = _brought(
        rows if places is None else _placed(rows, places)
    )
    return TurnResult(
        claim_id,
        len(rows) == size,
        jobs,
        withheld,
        unknown,
        weight,
        _ids(recorded),
        took_s=took_s,
    )


def _claimed_few(rows: list[tuple[Any, ...]], claim_id: int, took_s: float) -> TurnResult:
    """Return the result of a claim of few jobs: all come along, in no order."""
    # One without a class was deleted.
    jobs = [claimed_job((claim_id, *row)) for row in rows if row[1] is not None]
    if len(jobs) > 1:
        jobs.sort(key=_by_place)
    weight = sum([len(job.arguments) for job in jobs])
    known, unknown = _known(jobs)
    made = claim_id if rows else None
    whole = len(jobs) == len(rows)
    return TurnResult(made, whole, known, [], unknown, weight, took_s=took_s)


def _ids(recorded: str | None) -> set[int]:
    return set(map(int, recorded.split(","))) if recorded else set()


def _placed(rows: list[tuple[Any, ...]], places: str) -> list[tuple[Any, ...]]:
    """Return jobs with their priorities and positions, in the order in which they start."""
    by_id = {row[_ID]: row for row in rows}
    placed: list[tuple[Any, ...]] = []
    for place in places.split(","):
        job_id, priority, position = map(int, place.split())
        if row := by_id.get(job_id):
            placed.append((*row[:_PRIORITY], priority, position, *row[_PRIORITY + 2 :]))
    return placed


def _brought(
    rows: list[tuple[Any, ...]],
) -> tuple[list[ClaimedJob], list[ClaimedJob], list[ClaimedJob], int]:
    """Return the jobs that came along, the withheld ones, the unknown ones, and the weight."""
    if not rows:
        return [], [], [], 0
    jobs, unknown = _known([claimed_job(row) for row in rows])
    came, weight = came_along(jobs)
    return jobs[:came], jobs[came:], unknown, weight


def _known(jobs: list[ClaimedJob]) -> tuple[list[ClaimedJob], list[ClaimedJob]]:
    """Return the jobs of known classes, and the others."""
    known = registry.known()
    # All at once: it costs a claim a thousandth.
    if known >= set(map(_class_name, jobs)):
        return jobs, []
    unknown = [job for job in jobs if job.class_name not in known]
    return [job for job in jobs if job.class_name in known], unknown


def came_along(jobs: list[ClaimedJob]) -> tuple[int, int]:
    """Return the number of jobs before the first without arguments, and their total size."""
    sizes = [len(job.arguments) for job in jobs]
    return sizes.index(0) if 0 in sizes else len(jobs), sum(sizes)


def _turn(record: Statement | None, claim: Statement) -> Statement:
    """Return the two as one. Of all that there could be, a worker sends a few."""
    names = None if record is None else record.name, claim.name
    if (turn := _TURNS.get(names)) is None:
        turn = _TURNS[names] = ready.turn(record, claim)
    return turn


def _fused(
    record: tuple[Statement, dict[str, Any]] | None, request: ClaimRequest | None
) -> tuple[Statement, dict[str, Any]]:
    begin, parameters = record or (None, {})
    if request is None:
        return _turn(begin, _NO_CLAIM), parameters
    parameters = {
        **parameters,
        **request.parameters,
        "limit": request.most,
        "share": BYTES_MAX // request.limit if request.limit > FEW else 2**31 - 1,
        "budget": BYTES_MAX,
        "process_id": request.process_id,
        "claim_id": request.claim_id,
        "asked_at": request.asked_at,
    }
    return _turn(begin, request.statement), parameters


def _run(
    session: Session, statements: list[tuple[Statement, dict[str, Any]]], *, plain: bool
) -> list[list[tuple[Any, ...]]]:
    # A pipeline costs more than a statement alone, and the fused one alone is the common case.
    if len(statements) > 1:
        return session.fetch_together(statements)
    fetch = session.fetch_prepared if plain else session.fetch
    return [fetch(*each) for each in statements]
